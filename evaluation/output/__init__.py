"""What an evaluation leaves behind: tables, a summary, VBench's files, a page; all of it made of `evaluation.rows.Row` alone.

table.py     scores.csv and scores.parquet, and rows read back from them
summary.py   summary.json: values, intervals, totals, paired differences; scores.py and paired.py compute them
vbench.py    VBench's `*_eval_results.json` and `*_full_info.json`, written and read
page.py      one HTML page; plots.py draws its pictures
compare.py   several finished evaluations side by side; terminal.py prints; gate.py says whether a value is good enough
"""
