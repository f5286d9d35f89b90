"""Conversations to tokens: the template is applied once, and no message can write control tokens."""

from __future__ import annotations

import pytest

from rapo_lightning.errors import WeightsError
from rapo_lightning.language.chat_format import ChatFormat
from rapo_lightning.types import Failure
from tests.tiny_language import FAMILIES, tiny_tokenizer

ASK = [{"role": "system", "content": "you write"}, {"role": "user", "content": "a red ball"}]


def text_of(family: str, conversation: list[dict[str, str]], **options: bool) -> str:
    tokens = ChatFormat.of(tiny_tokenizer(family), name=family, **options).encode(conversation)
    assert not isinstance(tokens, Failure)
    return str(tiny_tokenizer(family).decode(tokens, clean_up_tokenization_spaces=False))


@pytest.mark.parametrize("family", FAMILIES)
def test_encoded_conversation_ends_where_the_answer_begins(family: str) -> None:
    assert text_of(family, ASK, enable_thinking=True).endswith("a red ball<|im_end|>\n<|im_start|>assistant\n")


def test_the_start_token_is_written_once() -> None:
    """The published release tokenises the template's text again and gets two (defect 20)."""
    assert text_of("llama", ASK).count("<|begin|>") == 1
    assert tiny_tokenizer("llama")("x")["input_ids"][0] == tiny_tokenizer("llama").bos_token_id


def test_thinking_is_passed_to_the_template() -> None:
    assert "<think>" in text_of("qwen3", ASK)
    assert "<think>" not in text_of("qwen3", ASK, enable_thinking=True)


def test_a_template_without_system_role_gets_the_text_in_the_first_message() -> None:
    assert text_of("mistral", ASK).startswith("<|im_start|>user\nyou write\n\na red ball<|im_end|>")


def test_a_conversation_that_the_template_refuses_fails() -> None:
    format = ChatFormat.of(tiny_tokenizer("mistral"), name="mistral")
    assert isinstance(format.encode(ASK[:1]), Failure)
    strict = ChatFormat.of(tiny_tokenizer(), "{{ raise_exception('never') }}", name="strict")
    failure = strict.encode(ASK)
    assert isinstance(failure, Failure)
    assert "never" in failure.error


@pytest.mark.parametrize("content", ["a<|im_end|>b", "a<|im_<|im_end|>end|>b", "<|begin|>ab"])
def test_control_tokens_in_a_message_are_taken_out(content: str) -> None:
    """A critique or a caption must not be able to end its message and begin another."""
    assert text_of("qwen2", [{"role": "user", "content": content}]).startswith("<|im_start|>user\nab<|im_end|>")


def test_decode_leaves_blanks_alone_and_control_tokens_out() -> None:
    format = ChatFormat.of(tiny_tokenizer(), name="x")
    tokens = tiny_tokenizer().encode("a ball , it 's red .<|im_end|>", add_special_tokens=False)
    assert format.decode(tokens) == "a ball , it 's red ."


def test_without_a_chat_template() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(WeightsError, match=r"base-model: .*no chat template"):
        ChatFormat.of(tokenizer, name="base-model")
    assert ChatFormat.of(tokenizer, "{{ messages[0].content }}", name="base-model").encode(ASK) == tokenizer.encode(
        "you write", add_special_tokens=False
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lesson_is_the_conversation_as_at_use_and_the_answer_with_its_end(family: str) -> None:
    format = ChatFormat.of(tiny_tokenizer(family), name=family)
    lesson = format.encode_lesson(ASK, " a blue ball<|im_end|> \n")
    assert not isinstance(lesson, Failure)
    head, answer = lesson
    assert head == format.encode(ASK)
    assert tiny_tokenizer(family).decode(answer, clean_up_tokenization_spaces=False) == "a blue ball<|im_end|>"
    assert answer[-1] == tiny_tokenizer(family).convert_tokens_to_ids("<|im_end|>")


def test_a_lesson_keeps_what_the_template_writes_before_an_answer() -> None:
    """As Mistral's, which puts a blank there and ends with the end token alone."""
    asked, answered = "'[I]' + m.content + '[/I]'", "' ' + m.content + eos_token"
    template = f"{{% for m in messages %}}{{{{ {asked} if m.role == 'user' else {answered} }}}}{{% endfor %}}"
    format = ChatFormat.of(tiny_tokenizer(), template, name="x")
    lesson = format.encode_lesson([{"role": "user", "content": "a red ball"}], "a blue ball")
    assert not isinstance(lesson, Failure)
    assert tiny_tokenizer().decode(lesson[1], clean_up_tokenization_spaces=False) == " a blue ball<|im_end|>"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("thinking", [False, True])
def test_many_lessons_at_once_are_what_each_is_by_itself(family: str, thinking: bool) -> None:
    """Equal questions with several answers, empty and odd ones, one that the template may refuse."""
    format = ChatFormat.of(tiny_tokenizer(family), name=family, enable_thinking=thinking)
    longer = [*ASK, {"role": "assistant", "content": "a ball"}, {"role": "user", "content": "more  light\n"}]
    answers = ("a blue ball", "a blue ball, and a hill.", " a<|im_end|>b \n\n", "ÿ 球", "a  red\tsea")
    lessons = [(asked, answer) for asked in (ASK, ASK[1:], longer, ASK[:1]) for answer in answers]
    found = format.encode_lessons(lessons)
    assert found == [format.encode_lesson(*lesson) for lesson in lessons]
    assert any(isinstance(one, Failure) for one in found) == (family == "mistral")
    assert format.encode_lessons([]) == []


def test_a_lesson_of_a_template_that_drops_the_answer_fails() -> None:
    format = ChatFormat.of(tiny_tokenizer(), "{{ messages[0].content }}", name="x")
    assert isinstance(format.encode_lesson([{"role": "user", "content": "a red ball"}], "blue"), Failure)


def test_a_lesson_of_a_template_that_moves_the_system_message() -> None:
    """As Mistral's, which puts it into the last message, and only if that is the user's."""
    template = (
        "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}[I]"
        "{% if loop.last and messages[0].role == 'system' %}{{ messages[0].content }} {% endif %}{{ m.content }}[/I]"
        "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    format = ChatFormat.of(tiny_tokenizer(), template, name="x")
    for said in ("a red ball rolls, a red ball", "a blue ball"):  # it may repeat the question
        lesson = format.encode_lesson(ASK, said)
        assert not isinstance(lesson, Failure)
        head, answer = (tiny_tokenizer().decode(ids, clean_up_tokenization_spaces=False) for ids in lesson)
        assert said in answer
    assert (head, answer) == ("[I]you write a red ball[/I]", " a blue ball<|im_end|>")
