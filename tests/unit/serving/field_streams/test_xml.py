"""The XML format: entities, sections and comments as the parser of DSPy reads them."""

import pytest

from tests.unit.serving.field_streams.applied import shown
from tests.unit.serving.field_streams.programs import ADAPTERS, SIGNATURES
from workers.serving.field_streams.field_stream import FieldDelta, OutputField
from workers.serving.field_streams.xml_elements import XmlStream

ANSWER = [OutputField("answer", is_text=True)]


def test_text_is_shown_as_it_comes() -> None:
    stream = XmlStream(ANSWER)
    stream.feed("<answer>\n")

    assert stream.feed("Yes") == [FieldDelta("answer", "Yes")]
    assert stream.feed(", sir</ans") == [FieldDelta("answer", ", sir")]
    assert stream.feed("wer>") == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("<answer>a &lt;b&gt; &amp;c &#65;&#x1F44D; ]</answer>", id="entities"),
        pytest.param("<answer><![CDATA[a < b]]> c</answer>", id="a section of characters"),
        pytest.param("<answer> a<!-- no --> b </answer>", id="a comment"),
        pytest.param("Sure!\n<note>n</note><answer>x</answer> done", id="words around"),
        pytest.param('<entry key="answer">x</entry>', id="an entry"),
        pytest.param("<answer>a\r\nb\rc</answer>", id="line breaks"),
    ],
)
def test_what_is_shown_is_what_dspy_parses(answer: str) -> None:
    assert shown("xml", ANSWER, *answer) == ADAPTERS["xml"].parse(SIGNATURES[0], answer)


@pytest.mark.parametrize("answer", ["<answer />", "<x><answer>deep</answer></x>", "</dspy_root><answer>x</answer>"])
def test_what_is_no_text_of_the_field_is_not_shown(answer: str) -> None:
    assert shown("xml", ANSWER, *answer) == {}


@pytest.mark.parametrize("odd", ["<b>bold</b> more", "& more", "&nbsp; more", "\x00 more", "\ud83d more", "]]> more"])
def test_a_text_ends_where_it_stops_being_one(odd: str) -> None:
    assert shown("xml", ANSWER, "<answer>so far", f" {odd}</answer>", "<answer>again</answer>") == {"answer": "so far"}


def test_no_entity_can_be_declared() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'

    assert shown("xml", ANSWER, bomb, "<answer>&b;</answer>") == {}
