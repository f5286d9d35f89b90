"""What the judge is asked for VBench-2.0's dimensions, in our words; the suite's own questions go into them."""

from __future__ import annotations

__all__ = ["ALONE", "ASK", "CLOTHES", "DETAIL", "MEANS", "MORE", "PARTS", "PEOPLE", "SCENERY", "SEEN", "TEXTS"]

ASK = "Answer yes or no.\n{question}"
SEEN = "Is this seen in the video? Answer yes or no.\n{question}"
ALONE = "Is only one creature seen in the video? Answer yes or no."
CLOTHES = (
    "Is exactly one person seen in the whole video? Answer yes or no.",
    "Is it the same person all through the video? Answer yes or no.",
    "Do the person's clothes keep their colors and textures all through the video? Answer yes or no.",
)
TEXTS = "You compare descriptions of videos. You answer yes or no first, then say why in a sentence."
MEANS = (
    "Wanted: {wanted}\nDescribed: {described}\nDoes the description contain what is wanted? Names do not matter, and other words "
    "with the same meaning count; what is not said must not be assumed. Answer yes or no."
)
MORE = "Description: {described}\nIs more than one person described? Answer yes or no."
PARTS = "Tell what happens in the video as a numbered list of {count} sentences, in the order of time:\n{numbers}"
SCENERY = "Tell which landscapes the video shows as a numbered list of {count} sentences, in the order of time:\n{numbers}"
PEOPLE = "Say in one sentence what one person does to or with another in this video: 'a person ... another person'."
DETAIL = "Describe this video in detail."
