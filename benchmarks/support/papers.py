"""Real abstracts with authors' keywords, read out of an installed package; nothing of them is kept."""

import gzip
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dspy_service.domain.search.documents import Document

CORPUS = Path(sys.prefix) / "corpus"
"""Where ``make corpus`` puts the packages that are wanted for their data only."""

_FILES = ("pubmed21n1298.xml.gz", "pubmed20n0014.xml.gz")


class Paper(NamedTuple):
    """A document, and what its authors said it is about."""

    document: Document
    keywords: frozenset[str]


def read_papers(count: int, folder: Path = CORPUS) -> list[Paper]:
    """Return the first papers that have an abstract, each id once; the newer half of the collection comes first."""
    found: dict[str, Paper] = {}
    for name in _FILES:
        path = folder / "data" / name
        if not path.is_file():
            raise SystemExit(f"{path} is missing; get it with `make corpus`.")
        for paper in _papers_of(path):
            found.setdefault(paper.document.id, paper)
            if len(found) == count:
                return [*found.values()]
    return [*found.values()]


def _papers_of(path: Path) -> Iterator[Paper]:
    with gzip.open(path) as stream:
        for _, element in ET.iterparse(stream):  # noqa: S314 - a pinned and hashed file
            if element.tag == "PubmedArticle":
                paper = _paper(element)
                if paper is not None:
                    yield paper
                element.clear()


def _paper(element: ET.Element) -> Paper | None:
    text = "\n".join(_text(each) for each in element.iterfind(".//Abstract/AbstractText")).strip()
    article_id, title = element.findtext(".//PMID"), element.find(".//ArticleTitle")
    if not text or not article_id or title is None:
        return None
    document = Document(
        id=article_id,
        title=_text(title),
        authors=[
            f"{author.findtext('LastName')}, {author.findtext('ForeName') or ''}".rstrip(", ")
            for author in element.iterfind(".//AuthorList/Author")
            if author.find("LastName") is not None
        ],
        text=text,
        year=_year(element.findtext(".//JournalIssue/PubDate/Year")),
        metadata={"journal": element.findtext(".//Journal/Title") or ""},
    )
    keywords = frozenset(_text(each).casefold().strip(" .") for each in element.iterfind(".//KeywordList/Keyword"))
    return Paper(document, keywords)


def _text(element: ET.Element) -> str:
    return "".join(element.itertext()).strip()


def _year(text: str | None) -> int | None:
    return int(text) if text else None
