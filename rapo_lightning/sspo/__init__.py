"""Stage 2, sample-specific prompt optimisation (RAPO++ section 4.1): render, judge, rewrite, and keep the best.

Read in this order: `loop` (the method on one screen), `options`, `progress`, `propose`, `guard`, `evaluate`, `selection`;
then `log`, `budget`, `data` and `module`, which run it under a Lightning Trainer.
"""
