"""The words of the toy world: sentiment words by rank, topics, and the frames around them.

Every list is ordered by how often its words are used (the first most): the grammar draws with a
Zipf tail, so that the order is part of the world and a changed order changes every text.
"""

from dataclasses import dataclass
from typing import Final

__all__ = [
    "BARE",
    "CONTEXT",
    "FILLERS",
    "FOND",
    "HARSH",
    "LIKED",
    "DISLIKED",
    "NEGATIVE",
    "NEUTRAL",
    "OTHERS",
    "POSITIVE",
    "RIVALS",
    "STRONG",
    "TOPICS",
    "Topic",
    "WEAK",
]


@dataclass(frozen=True, slots=True)
class Topic:
    """A subject of reviews."""

    things: tuple[str, ...]
    """Nouns for the whole."""
    aspects: tuple[str, ...]
    """Nouns for its parts, all fit for "the ... was"."""


POSITIVE: Final = tuple(
    """great good excellent lovely amazing wonderful nice superb fantastic perfect brilliant
    charming delightful beautiful impressive pleasant outstanding enjoyable clever solid
    splendid terrific marvelous elegant refreshing satisfying fabulous gorgeous remarkable
    polished reliable stunning graceful touching generous magnificent thoughtful memorable
    engaging inspired inviting stellar exquisite captivating flawless radiant vivid masterful
    witty uplifting comfortable sublime immaculate heartfelt glorious dazzling admirable
    soothing tasteful crisp endearing joyful luminous ingenious lively rewarding compelling
    riveting sturdy exceptional phenomenal tidy delicate harmonious cheerful enchanting
    praiseworthy faultless spirited gratifying adorable spotless sparkling majestic poetic
    breathtaking gripping laudable effortless sumptuous serene commendable vibrant wholesome
    fetching heavenly stylish robust nimble genial winning dependable exhilarating intuitive
    divine dignified fluent lucid mesmerizing peerless seamless sensible accomplished welcoming
    invigorating poised blissful exemplary snug luxurious mellow astute bewitching scrumptious
    deft resplendent sprightly dandy matchless ravishing tremendous ideal velvety unrivaled
    meticulous buoyant cordial convivial sterling topnotch idyllic""".split()
)
NEGATIVE: Final = tuple(
    """terrible bad awful horrible poor dreadful boring nasty weak disappointing lousy dull
    ugly mediocre annoying bland pathetic clumsy ghastly tedious painful atrocious sloppy
    shabby miserable horrendous appalling cheesy unpleasant messy irritating flimsy dire dreary
    dismal stale disgusting frustrating lifeless useless tiresome shallow hideous grim
    pointless unreliable abysmal lackluster tacky wretched tasteless insulting forgettable
    clunky incoherent vile soulless careless greasy offensive monotonous faulty rotten shoddy
    insipid deplorable depressing filthy tawdry ludicrous repulsive sluggish grating murky
    uninspired embarrassing inept muddled unbearable sour wooden crude foul amateurish
    lamentable exasperating gloomy contrived laughable pitiful hollow drab revolting garish
    cramped vapid woeful grubby inferior obnoxious brittle haphazard stilted unsightly vulgar
    dingy hopeless joyless trite pretentious rude botched defective dodgy ragged excruciating
    infuriating sickening uncouth witless unwatchable substandard insufferable jarring
    ponderous squalid threadbare turgid fiddly dowdy frumpy crummy dismaying humdrum odious
    leaden mangled putrid rancid slapdash stodgy horrid limp untidy wobbly abhorrent""".split()
)
NEUTRAL: Final = tuple(
    "okay average fine ordinary passable acceptable standard middling usual".split()
)
BARE: Final = {
    "loved": "love",
    "liked": "like",
    "enjoyed": "enjoy",
    "adored": "adore",
    "admired": "admire",
    "appreciated": "appreciate",
    "recommended": "recommend",
    "praised": "praise",
    "treasured": "treasure",
    "relished": "relish",
    "savored": "savor",
    "applauded": "applaud",
    "cherished": "cherish",
    "endorsed": "endorse",
    "saluted": "salute",
    "hated": "hate",
    "disliked": "dislike",
    "regretted": "regret",
    "loathed": "loathe",
    "resented": "resent",
    "despised": "despise",
    "criticized": "criticize",
    "deplored": "deplore",
    "detested": "detest",
    "cursed": "curse",
    "dreaded": "dread",
    "condemned": "condemn",
    "mocked": "mock",
    "abhorred": "abhor",
    "slated": "slate",
}
"""Verbs of opinion and their bare forms: fifteen kind ones, then fifteen unkind ones."""
LIKED: Final = tuple(BARE)[:15]
DISLIKED: Final = tuple(BARE)[15:]
WEAK: Final = ("a bit", "rather", "somewhat", "slightly", "fairly", "a little", "mildly")
STRONG: Final = ("very", "really", "so", "extremely", "deeply")
FOND: Final = ("truly", "simply", "wonderfully", "absolutely", "delightfully")
"""Strong words that lean towards praise."""
HARSH: Final = ("utterly", "painfully", "awfully", "downright", "hopelessly")
"""Strong words that lean towards blame."""
OTHERS: Final = (
    "the critics",
    "my brother",
    "my friends",
    "most people",
    "the reviewers",
    "my wife",
    "my neighbor",
    "the press",
    "my sister",
    "everyone else",
    "my boss",
    "the magazine",
    "my parents",
    "the blogger",
    "my husband",
    "the jury",
    "my cousin",
    "the internet",
    "the guide",
    "my teacher",
)
RIVALS: Final = (
    "the last one",
    "the old one",
    "the rival",
    "the other one",
    "the one next door",
    "the one from last year",
    "the cheaper one",
    "the first one",
)
TOPICS: Final = (
    Topic(
        ("film", "movie", "sequel", "picture", "comedy", "drama"),
        tuple("plot acting script ending soundtrack dialogue pacing cast humor lighting".split()),
    ),
    Topic(
        ("restaurant", "diner", "cafe", "place", "meal", "lunch"),
        tuple(
            """service soup menu coffee pasta dessert wait bill bread portion beer wine fish
            salad""".split()
        ),
    ),
    Topic(
        ("phone", "tablet", "laptop", "gadget", "device", "model"),
        tuple(
            """battery screen camera price charger speaker design case warranty fan keyboard
            delivery""".split()
        ),
    ),
    Topic(
        ("hotel", "hostel", "inn", "resort", "stay", "lodge"),
        tuple(
            "room bed staff pool view street breakfast shower queue towel ceiling fee lobby".split()
        ),
    ),
    Topic(
        ("book", "novel", "memoir", "story", "thriller", "sequel"),
        tuple("hero prose cover style plot opening ending chapter villain humor".split()),
    ),
    Topic(
        ("jacket", "coat", "bag", "shirt", "dress", "boot"),
        tuple("fabric fit zip color price seam sole lining pocket delivery belt".split()),
    ),
    Topic(
        ("trip", "tour", "flight", "cruise", "journey", "ride"),
        tuple("seat crew guide driver bus train delay beach food cabin view fee engine".split()),
    ),
    Topic(
        ("game", "puzzle", "app", "program", "update", "version"),
        tuple("menu tutorial music level map control engine price story loading manual".split()),
    ),
)

CONTEXT: Final = {
    "long": (
        ("battery", "warranty", "pool", "breakfast", "story"),
        ("wait", "queue", "delay", "loading", "delivery", "manual"),
    ),
    "short": (
        ("wait", "queue", "delay", "loading", "delivery", "manual"),
        ("battery", "warranty", "menu", "story", "dessert"),
    ),
    "loud": (("speaker", "soundtrack", "music"), ("street", "fan", "engine", "lobby", "room")),
    "quiet": (
        ("street", "fan", "engine", "lobby", "room", "cabin"),
        ("speaker", "soundtrack", "music", "dialogue"),
    ),
    "cold": (("beer", "wine", "salad"), ("soup", "coffee", "shower", "pasta", "room", "staff")),
    "hot": (
        ("soup", "coffee", "shower", "pasta", "bread"),
        ("beer", "wine", "charger", "cabin", "case"),
    ),
    "warm": (("staff", "crew", "lining", "bread", "lobby"), ("beer", "salad", "wine", "battery")),
    "small": (
        ("bill", "fee", "price", "case", "delay"),
        ("room", "screen", "portion", "pool", "pocket", "seat"),
    ),
    "large": (
        ("room", "screen", "portion", "pool", "pocket", "seat", "bed"),
        ("bill", "fee", "delay", "charger"),
    ),
    "high": (("ceiling", "view", "level"), ("price", "fee", "bill")),
    "low": (("price", "fee", "bill"), ("ceiling", "battery", "level")),
    "soft": (("bed", "fabric", "seat", "towel", "lighting"), ("sole", "pasta", "case", "cover")),
    "hard": (("case", "cover", "sole"), ("bed", "seat", "bread", "towel")),
    "thin": (("design", "screen", "keyboard", "case"), ("plot", "soup", "fabric", "towel", "wine")),
    "thick": (("fabric", "soup", "towel", "sole"), ("menu", "manual", "case", "prose")),
    "dry": (("humor", "wine", "towel"), ("bread", "fish", "prose", "acting", "dessert")),
    "dark": (("beer", "humor", "color"), ("room", "screen", "lobby", "street")),
    "predictable": (("bus", "train", "bill", "control"), ("plot", "ending", "story", "villain")),
    "surprising": (
        ("plot", "ending", "story", "menu", "villain"),
        ("bill", "fee", "delay", "train"),
    ),
    "complex": (
        ("plot", "hero", "wine", "villain", "level"),
        ("menu", "control", "manual", "tutorial", "zip"),
    ),
    "simple": (
        ("menu", "control", "manual", "tutorial", "design"),
        ("plot", "hero", "villain", "dialogue"),
    ),
    "fast": (
        ("charger", "service", "loading", "delivery", "train"),
        ("ending", "driver", "pacing"),
    ),
    "slow": (
        ("music", "breakfast", "sunset"),
        ("service", "charger", "loading", "delivery", "train"),
    ),
    "sharp": (("screen", "camera", "script", "dialogue"), ("seam", "zip", "belt", "case")),
    "sweet": (("dessert", "hero", "coffee"), ("soup", "pasta", "fish", "salad")),
    "tight": (("script", "control", "seam", "plot"), ("fit", "pocket", "seat", "belt", "cabin")),
    "loose": (("fit", "belt", "lining"), ("seam", "control", "script", "sole", "plot")),
    "funny": (
        ("script", "dialogue", "acting", "cast", "guide"),
        ("fish", "soup", "salad", "engine", "fan"),
    ),
}
"""Adjectives without a polarity of their own: (nouns where they praise, nouns where they blame)."""

FILLERS: Final = (
    "we went on a {day}",
    "i paid with my card",
    "it came in a {color} box",
    "it was my {nth} visit",
    "i bought it on a {day}",
    "my {kin} came along",
    "it took about {num} hours",
    "we were {num} people",
    "i tried it {num} times",
    "they open at {num}",
    "a {color} sign hangs outside",
    "it is made in {land}",
    "my {kin} paid for it",
    "i read about it in {land}",
)
