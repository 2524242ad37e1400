"""The judge of chapter 7's tasks: pages and their users by a list of owners, texts by their tokens, guesses row by row."""
from course.judge import Floats, Integers, case, exact, integers, number, same_as


def listed(value):
    return [int(word) for word in str(value).split(",") if word != ""]


@case("7.1 rows: a step is cut where pages end", "steps=1", "steps=64", "steps=64,1", "steps=60,70", "steps=5,59,64,3", "steps=1,1,1 L=1",
      "steps=130 L=1", "steps=63,1,1", "steps=100,156 page_slots=128 L=1", "steps=127,2,127 page_slots=128 D=2")
def rows(p, random):
    steps, L, Hkv, D, page_slots = listed(p.steps), p.get("L", 2), p.get("Hkv", 2), p.get("D", 3), p.get("page_slots", 64)
    N = sum(steps)
    k, v = (Floats([L, N, Hkv, D], [float(random.below(2000) - 1000) for _ in range(L * N * Hkv * D)]) for _ in "kv")
    pieces, first = [], 0
    for T in steps:
        for _ in range(L):
            t = 0
            while t < T:
                place = (first + t) % page_slots
                count = min(T - t, page_slots - place)
                pieces += [part for i in range(count) for part in (place + i, first + t + i)]
                t += count
        first += T
    return ({"k": k, "v": v, "steps": steps, "pages": -(-N // page_slots), "page_slots": page_slots},
            {"keys": exact(k, "layer slot head component"), "values": exact(v, "layer slot head component"),
             "places": integers(Integers([len(pieces) // 2, 2], pieces), "row number")})


@case("7.2 copy on write: the writer gets a page of its own", "tokens=70 forks=1 writers=1", "tokens=70 forks=1 writers=0", "tokens=1 forks=1 writers=1,0",
      "tokens=63 forks=2 writers=2,0,1", "tokens=127 forks=1 writers=0,1", "tokens=64 forks=1 writers=1", "tokens=70 forks=2 writers=1,1,2",
      "tokens=128 forks=2 writers=0,1,2", "tokens=130 forks=3 writers=3,2,1,0")
def copy_on_write(p, random):
    page_slots, pages = 64, 12
    texts, writers = p.forks + 1, listed(p.writers)
    free, users = list(range(pages - 1, -1, -1)), [0] * pages
    first = [free.pop() for _ in range(-(-p.tokens // page_slots))]
    for page in first:
        users[page] = texts
    tables, lengths = [list(first) for _ in range(texts)], [p.tokens] * texts
    all_tables, all_users, copied = [], [], 0
    for writer in writers:
        table = tables[writer]
        if lengths[writer] % page_slots and users[table[-1]] > 1:
            page = free.pop()
            users[page], users[table[-1]] = 1, users[table[-1]] - 1
            table[-1], copied = page, copied + 1
        elif lengths[writer] % page_slots == 0:
            table.append(free.pop())
            users[table[-1]] = 1
        lengths[writer] += 1
        all_tables += [page for one in tables for page in one]
        all_users += users
    keys = [float(1 + 2 + 10 * (h + 10 * (1 + 10 * s))) for _ in range(texts) for s in range(p.tokens) for h in range(2)]
    return ({"tokens": p.tokens, "forks": p.forks, "writers": writers, "pages": pages, "page_slots": page_slots},
            {"tables": integers(all_tables, "entry"), "users": integers(all_users, "page"), "copied": number(copied),
             "keys": exact(Floats([len(keys)], keys), "number"), "free in the end": number(pages)})


@case("7.3 chain: the longest beginning that is held", "run=abcdefgh asked=abcdefgh", "run=abcdefgh asked=abcdxxxx,abc,abcd,abcdefghi,xbcdefgh",
      "run=abcdefghij asked=abcdefghij,abcdefg", "run=abcdefgh,abcdijkl,mnop asked=abcdijklm,mnopefgh,efgh,mnop,ijkl",
      "run=abcdabcdabcd asked=abcdabcdabcdabcd,abcdabcd,abcdxxxxabcd", "run=abcdefgh asked=abcdefgh scope=b", "run=abcdefgh,efghabcd asked=efghefgh,efghabcd,abcdabcd",
      "run=abc asked=abc,abcd", "run=abcdefghijkl,abcdefghxyzw asked=abcdefghxyzwq,abcdefghijxx page_slots=4", "run=abcdef,abghef asked=abcdef,abghij,ghef page_slots=2",
      "run=aba,ab asked=abab,a,aa page_slots=1")
def chain(p, random):
    page_slots, run, asked = p.get("page_slots", 4), str(p.run).split(","), str(p.asked).split(",")
    shift = random.below(1000)  # which token a letter is

    def tokens(texts):
        return [shift + ord(letter) for text in texts for letter in text]
    free, entries, held = list(range(63, -1, -1)), {}, []  # the whole beginning up to the end of a page: the page
    for text in run:
        own = [free.pop() for _ in range(-(-len(text) // page_slots))]
        released = set(own)
        for number_of_page in range(len(text) // page_slots):
            beginning = text[:(number_of_page + 1) * page_slots]
            if beginning not in entries:
                entries[beginning] = own[number_of_page]
                released.discard(own[number_of_page])
        free += [page for page in own if page in released]  # in the order in which a cache lets go
        held.append(len(entries))
    found, looked = [], []
    for text in asked:
        pages = []
        for number_of_page in range(len(text) // page_slots):
            page = entries.get(text[:(number_of_page + 1) * page_slots]) if p.get("scope", "a") == "a" else None
            if page is None:
                break
            pages.append(page)
        looked.append(len(pages))
        found += pages + [-1]
    return ({"run": tokens(run), "run_lengths": [len(text) for text in run], "asked": tokens(asked), "asked_lengths": [len(text) for text in asked],
             "scope": p.get("scope", "a"), "pages": 64, "page_slots": page_slots},
            {"held": integers(held, "text that was run"), "looked": integers(looked, "text that is asked for"), "found": integers(found, "entry")})


@case("7.4 budget: who writes comes first and prompts share the rest", "unseen=1,13,2 budget=8", "unseen=1,13,2 budget=8 whole=1", "unseen=1 budget=1",
      "unseen=13 budget=8", "unseen=13 budget=8 whole=1", "unseen=5,1,1,9 budget=7", "unseen=1,1,1 budget=2", "unseen=3,7,2 budget=8 whole=1",
      "unseen=9,3,1 budget=8 whole=1", "unseen=4,4,4 budget=8", "unseen=4,4,4 budget=8 whole=1", "unseen=6,1,5,1,4 budget=8 whole=1",
      "unseen=2,1,2,1 budget=2", "unseen=2,1,2,1 budget=2 whole=1", "unseen=20,1,1,30 budget=64")
def budget(p, random):
    unseen, left, whole = listed(p.unseen), p.budget, p.get("whole", 0)
    shares = [0] * len(unseen)
    for i, tokens in enumerate(unseen):
        if tokens == 1 and left:
            shares[i], left = 1, left - 1
    prompts = [i for i, tokens in enumerate(unseen) if tokens > 1]
    for i in prompts:
        if not whole:
            shares[i] = min(unseen[i], left)
        elif i == prompts[0] or unseen[i] <= left:
            shares[i] = unseen[i]
        left = max(0, left - shares[i])
    return {"unseen": unseen, "budget": p.budget, "chunked": 1 - whole}, {"shares": integers(shares, "text")}


@case("7.5 look-up: what followed the longest run that stood before", "text=abcab count=4", "text=thecatsatonthec count=4", "text=a count=3", "text=aaaa count=3",
      "text=abcdef count=4", "text=xabyabzab count=2", "text=xaby_abzcabwab count=3", "text=abab count=8", "text=abcxabcyabc count=2 longest=2", "text=qabcdrbcdsbcd count=2",
      "text=xyaxya count=4 longest=1", "text=abxbyb count=2 shortest=2", "text=ab count=2", "text=abcabcabc count=5 longest=9", "text=axbxaxcx count=1", "text=abcab count=1 before=zz",
      "text=abxcbyab count=2", "text=qabcdxcdyqabcd count=3")
def lookup(p, random):
    text, longest, shortest, count = str(p.text), p.get("longest", 3), p.get("shortest", 1), p.count
    shift = random.below(1000)
    guesses = ""
    for run in range(min(longest, len(text) - 1), shortest - 1, -1):
        place = text.rfind(text[-run:], 0, len(text) - 1)  # it ends before the text does
        if place >= 0:
            guesses = text[place + run:place + run + count]
            break

    def tokens(letters):
        return [shift + ord(letter) for letter in letters]
    before = str(p.get("before", ""))
    return ({"tokens": tokens(text), "count": count, "longest": longest, "shortest": shortest, "before": tokens(before)},
            {"guesses": integers(tokens(before + guesses), "guess")})


def accepted(best, guesses, ends):
    """Of rows whose largest logits are known: how many guesses are right, and what is kept."""
    kept, right = [], 0
    for i, token in enumerate(best):
        kept.append(token)
        is_right = i < len(guesses) and guesses[i] == token
        right += is_right
        if token in ends or not is_right:
            break
    return right, kept


@case("7.6 accept: rows are used as long as guesses are right", "best=5,7,2 guesses=5,7", "best=5,7,2 guesses=5,3", "best=5,7,2 guesses=4,7", "best=5",
      "best=5,7,2,9 guesses=5,7,2 ends=7", "best=5,7,2 guesses=5,7 ends=2", "best=5,7,2 guesses=4,7 ends=5", "best=3,3,3,3,3 guesses=3,3,3,3",
      "best=5,7,2 guesses=5,7 penalty=3", "best=1,2,3,4 guesses=1,9,3", "best=5,5,5 guesses=5,5 penalty=4", "best=6,8 guesses=6 ends=6")
def accept(p, random):
    V, best, guesses, ends, penalty = 12, listed(p.best), listed(p.get("guesses", "")), listed(p.get("ends", "")), float(p.get("penalty", 1))
    tokens = [10, 11]
    second = [(token + 1) % 9 for token in best]
    rows = [[random.uniform(0.1, 0.9) for _ in range(V)] for _ in best]
    for row, first, next_best in zip(rows, best, second):
        row[first], row[next_best] = 4.0, 3.0
    seen, chosen = set(tokens), []
    for row in rows:  # what a row says depends on what was kept before it
        logits = [value / penalty if token in seen else value for token, value in enumerate(row)]
        chosen.append(max(range(V), key=lambda token: logits[token]))
        seen.add(chosen[-1])
    right, kept = accepted(chosen, guesses, ends)
    return ({"logits": Floats([len(best), V], [value for row in rows for value in row]), "tokens": tokens, "guesses": guesses, "ends": ends, "penalty": penalty},
            {"accepted": number(right), "kept": integers(kept, "token"), "rows": integers(range(len(kept)), "token"), "tokens": integers(tokens + kept, "token")})


@case("7.6 accept: the dice are thrown once for each token that is kept", "rows=1 wrong=0 dice=1", "rows=4 wrong=0 dice=2", "rows=4 wrong=1 dice=3", "rows=5 wrong=2 dice=4",
      "rows=5 wrong=9 dice=5", "rows=8 wrong=5 dice=6", "rows=3 wrong=9 dice=7")
def dice(p, random):
    V = 9
    kept = min(p.wrong, p.rows - 1) + 1
    return ({"logits": Floats([p.rows, V], [random.normal() for _ in range(p.rows * V)]), "dice": p.dice, "wrong": p.wrong},
            {"accepted": number(kept - 1), "kept": number(kept), "text": same_as("text without guesses", "token"),
             "next throws": same_as("next throws without guesses", "throw")})
