"""What the demo model knows about English before it reads a prompt: groups of related words."""

from types import MappingProxyType
from typing import Final

_FUNCTION_WORDS: Final = (
    "a about above after again against ago all also am an and any are aren't as at be because been before "
    "being below between both but by came can can't cannot come could couldn't did didn't do does doesn't "
    "doing don't down during each even ever every few for from further get gets getting give given go "
    "goes going gone got had has have haven't having he hello hence her here hers hey hi him his how i "
    "i'd i'll i'm i've if in into is isn't it it's its itself just kind kindly last less let like made "
    "make many may me mine more most much must my need no nor not nothing now of off on once one only or "
    "other our ours out over own please pls put really regards same say says see she should since so some "
    "somebody someone something still such take tell than thank thanks that that's the their them then "
    "there there's these they this those through to too two under until up upon us use used very via want "
    "wanted wants was wasn't way we were what what's when where where's which while who whom whose why "
    "will with without won't would yes yet you you're your yours"
)
_VAGUE_WORDS: Final = (
    "able actually add already although always answer anyone anything apart ask asked away bad big bit "
    "call called case close company correct day days deal else end enough entered exactly fact far fifth "
    "find fine first five four full good half happen happened hand help hour hours idea keep kept know "
    "known later leave left little long look looks mean means minute minutes month months morning never "
    "new next nobody note nowhere number old open part people place point possible possibly promised put "
    "question read ready reason right second seem seven show shows side sort start started step sure ten "
    "thing things think third three time times today together told tried try turn usual week weeks whole "
    "word words work works wrong year years yesterday"
)
STOPWORDS: Final = frozenset(f"{_FUNCTION_WORDS} {_VAGUE_WORDS}".split())

_GROUPS: Final = {
    "payment": (
        "pay paid payment bill billing invoice charge debit credit receipt fee transfer transaction bank "
        "iban sepa card mandate deposit deduct surplus yearly monthly annual loan salary paypal "
        "instalment installment owe overdue dunning interest amount sum balance statement vat tax "
        "accountant finance currency euro dollar cent"
    ),
    "refund": "refund reimburse reimbursement credit money back repay",
    "price": ("price cost cheap cheaper expensive discount offer sale coupon voucher deal quote bargain quotation"),
    "transport": (
        "deliver delivery ship shipping shipment parcel package courier carrier driver van lorry truck "
        "tracking track transit dispatch depot warehouse post postman customs freight haulier pallet "
        "pickup locker doorstep neighbour arrive arrival dhl ups fedex box carton label transport route "
        "drop"
    ),
    "place": "address street house door floor town city flat home gate building porch driveway",
    "waiting": "wait waiting late delay delayed postpone overdue arrive arrival estimate eta",
    "returning": (
        "return exchange swap replace replacement rma withdraw send warranty guarantee repair unwanted deadline"
    ),
    "damage": (
        "broken break broke crack cracked scratch scratched tear tore torn hole leak damaged defective "
        "faulty fault dent bent stain loose missing dead flicker smell seam zip battery worn defect "
        "swollen screw"
    ),
    "size": "size small large big wide tight fit long short",
    "access": (
        "login log sign password username credential unlock locked lock verification verify authenticator "
        "code captcha authentication access hacked identity robot robotic block suspend suspended "
        "suspicious credentials"
    ),
    "profile": (
        "account profile member membership user register registered email mail newsletter unsubscribe "
        "subscriber personal data gdpr admin name birthdate points loyalty colleague username surname"
    ),
    "software": (
        "app website site page browser firefox chrome safari android iphone ipad phone tablet windows "
        "update version install download upload firmware driver api webhook server button screen scroll "
        "click load loading filter search export file pdf camera image photo barcode map form "
        "notification code program interface scan"
    ),
    "malfunction": (
        "crash crashes error bug timeout blank freeze frozen hang hangs stuck slow loop spinning "
        "unexpected script render grey white empty loops broken reload react respond disappear jump"
    ),
    "connection": (
        "wifi bluetooth network connect connection pair pairing offline signal ssl certificate smart "
        "thermostat speaker plug sync"
    ),
    "buying": (
        "buy order purchase stock available availability reserve reseller supplier showroom sample bundle "
        "edition brand model variant version spare compare gift present catalogue"
    ),
    "asking": (
        "difference compare recommend recommendation advise advice idea suitable compatible better best "
        "safe waterproof suit fits beginner cheaper"
    ),
    "furniture": "chair table sofa shelf lamp rug mattress armchair sideboard desk curtain",
    "clothing": "shirt shoe dress jacket sock glove boot trouser coat jeans",
    "appliance": "kettle toaster blender fridge vacuum printer oven washer coffee machine grinder dryer drill",
    "praise": (
        "good great excellent wonderful love loved amazing fantastic perfect brilliant superb enjoy "
        "enjoyed happy delightful best favourite beautiful"
    ),
    "complaint": (
        "bad terrible awful horrible worst hate hated boring poor disappointing disappointed waste dull "
        "angry useless annoying ridiculous rude"
    ),
    "urgency": "urgent urgently immediately asap emergency critical deadline now today",
    "sport": ("game match team player coach goal score league cup tournament football tennis season champion olympic"),
    "politics": "government minister president election vote parliament party law policy senate court",
    "business": "company market stock share profit investor economy bank revenue sales firm",
    "science": "scientist research study space nasa planet experiment physics biology species cell climate",
    "health": "doctor hospital patient disease medicine drug health symptom vaccine pain treatment",
    "food": "restaurant meal food dish taste delicious menu waiter dinner lunch cook",
    "film": "movie film actor director scene plot character story cinema",
    "travel": "flight hotel airport ticket trip travel booking passport train luggage room",
}

_SHORTEST_STEM: Final = 3
_ENDINGS: Final = (
    "ations",
    "ation",
    "ings",
    "ing",
    "ments",
    "ment",
    "edly",
    "ies",
    "ied",
    "ers",
    "ed",
    "es",
    "ly",
    "s",
    "e",
)


def stem(word: str) -> str:
    """Cut common English endings, so that "charged" and "charges" are one word."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            word = word[: -len(ending)]
            break
    if len(word) > _SHORTEST_STEM and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word[:-1] + "i" if len(word) > _SHORTEST_STEM and word.endswith("y") else word


def _by_stem() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for group, text in _GROUPS.items():
        for word in dict.fromkeys(map(stem, text.split())):
            found.setdefault(word, []).append(group)
    return {word: tuple(groups) for word, groups in found.items()}


_MEANINGS: Final = {
    "billing": "payment refund",
    "finance": "payment price",
    "payments": "payment",
    "refunds": "refund payment",
    "delivery": "transport place waiting",
    "shipping": "transport place",
    "logistics": "transport place waiting",
    "returns": "returning damage",
    "aftercare": "returning damage size",
    "warranty": "returning damage",
    "account": "access profile",
    "accounts": "access profile",
    "security": "access",
    "technical": "software malfunction connection",
    "tech": "software science",
    "platform": "software malfunction connection",
    "engineering": "software malfunction",
    "sales": "buying price asking",
    "advice": "asking buying price",
    "positive": "praise",
    "negative": "complaint",
    "urgent": "urgency",
    "sports": "sport",
    "world": "politics",
    "politics": "politics",
    "business": "business",
    "science": "science",
    "health": "health",
    "food": "food",
    "travel": "travel",
    "entertainment": "film",
}
_TYPICAL: Final = 9


def words_about(category: str) -> list[str]:
    """Typical words for the name of a category; empty when the name means nothing here.

    Only the writer of instructions uses this: the answering side takes a prompt literally.
    """
    groups = _MEANINGS.get(category.lower(), "").split()
    return [word for group in groups for word in _GROUPS[group].split()[:_TYPICAL]]


def categories_in(text: str) -> list[str]:
    """Names of categories that a text uses, in order."""
    return [
        word for word in dict.fromkeys(text.lower().replace(",", " ").replace(".", " ").split()) if word in _MEANINGS
    ]


GROUPS_OF: Final = MappingProxyType(_by_stem())
"""Stem to the groups of related words it belongs to."""
