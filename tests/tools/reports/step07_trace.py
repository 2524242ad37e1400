"""Chapter 7: traces that are drawn, what pages waste of them, and what an index of prefixes finds in them."""
import math

from reports.checked import case, number
from reports.serving_model import Scheduler
from reports.serving_pages import Pool, Prefixes
from reports.serving_traces import KINDS, blocks, longest, made, percentile, to_text

# As published: mean, median, P90, mean and deviation of the logarithm; of prompts and of answers.
PUBLISHED = {
    "azure-code": ((2048, 1469, 5194, 7.00, 1.36), (28, 13, 0, 2.79, 0.85)),
    "azure-conversation": ((1155, 1020, 2735, 6.63, 0.99), (211, 129, 0, 5.02, 0.86)),
    "mooncake-conversation": ((12035, 6909, 27367, 8.74, 1.20), (343, 350, 0, 5.34, 1.36)),
    "mooncake-synthetic": ((15325, 11587, 38615, 7.98, 2.70), (149, 69, 0, 3.92, 1.77)),
}
WHAT = {
    "azure-code": "Azure 2023, completing code: long prompts, short answers, in bursts",
    "azure-conversation": "Azure 2023, conversations: middling prompts and answers",
    "mooncake-conversation": "Mooncake, conversations: prompts that go on from earlier ones",
    "mooncake-synthetic": "Mooncake, synthetic: several questions about the same long documents",
}
HITS = {"mooncake-conversation": 0.366, "mooncake-synthetic": 0.640}


def statistics(lengths):
    logs = [math.log(n) for n in lengths]
    mu = math.fsum(logs) / len(logs)
    return {"mean": sum(lengths) / len(lengths), "median": percentile(lengths, 50), "p90": percentile(lengths, 90), "mu": mu,
            "sigma": math.sqrt(math.fsum((x - mu) ** 2 for x in logs) / len(logs))}


def says_lengths(run, who, mean, median, p90, mu, sigma):
    run.says(f"{who} {mean:.0f} {median:.0f} {number(p90, 5) if p90 else '-'} {mu:.2f} {sigma:.2f}")


def check_trace(run, kind, requests=0, context=0, seed=1, written=False):
    trace = made(kind, requests, context, seed)
    run.head(seed=seed, experiment="step07_serving trace")
    run.given("trace", kind)
    run.given("context", context)
    run.given("requests", requests or KINDS[kind][0])
    run.second_route("seconds", trace[-1].arrival)
    run.second_route("longest", longest(trace))
    run.says(f"{kind}: {WHAT[kind]}", f"{len(trace)} requests in {trace[-1].arrival:.1f} s; the longest text has {longest(trace)} tokens")
    if context:
        run.says(f"scaled to a context of {context}; what is said below is of the original")
    for part, what, lengths, published in (("input", "prompts", [r.prompt_tokens for r in trace], PUBLISHED[kind][0]),
                                           ("output", "answers", [r.most for r in trace], PUBLISHED[kind][1])):
        drawn = statistics(lengths)
        run.second_route(part, drawn, 1e-9)
        run.words(f"{what} mean median P90 mu sigma")
        says_lengths(run, "drawn", **drawn)
        says_lengths(run, "said", *published)
        if len(trace) > 3000:  # enough to be near what was published
            run.holds(abs(drawn["median"] / published[1] - 1) < 0.1, f"{what}: a median of {drawn['median']}")
    if written:
        run.holds(run.files["out.jsonl"].decode() == to_text(kind, trace), "the file holds another trace")
    run.says(f"RESULT requests={len(trace)} longest={longest(trace)}")


@case("step07_serving", "trace --requests 60 -s 11 -o SCRATCH/out.jsonl")
def trace_of_conversations(run):
    check_trace(run, "azure-conversation", 60, 0, 11, True)


@case("step07_serving", "trace --kind mooncake-conversation --requests 300 --context 700 -o SCRATCH/out.jsonl")
def trace_that_is_scaled(run):
    check_trace(run, "mooncake-conversation", 300, 700, 1, True)


@case("step07_serving", "trace --kind mooncake-synthetic")
def trace_of_full_size(run):
    check_trace(run, "mooncake-synthetic")


@case("step07_serving", "trace --kind azure-code --requests 1000 -s 2 -o SCRATCH/out.jsonl")
def trace_of_bursts(run):
    check_trace(run, "azure-code", 1000, 0, 2, True)


# --- what pages waste -------------------------------------------------------------------------------


def wasted(trace, slots, page_slots):
    """Means of all steps, everybody being there from the start."""
    s, held, needed, texts = Scheduler(slots // page_slots, slots, 2**40, chunked=False, slots=page_slots), [], [], []

    def look(parts):
        held.append(page_slots * sum(-(-part.text.length // page_slots) for part in parts))
        needed.append(sum(part.text.length for part in parts))
        texts.append(len(parts))

    s.on_run = look
    for request in trace:
        s.add([0] * request.prompt_tokens, request.most)
    while s.step():
        pass
    n = len(held)
    return {"page_slots": page_slots, "held": sum(held) / n, "needed": sum(needed) / n, "wasted": 1 - sum(needed) / sum(held),
            "texts": sum(texts) / n, "steps": n, "preempted": s.counts["preempted"]}


def check_waste(run, requests, context, contexts, pages, seed):
    run.head(seed=seed, experiment="step07_serving waste")
    run.given("context", context)
    run.closed_form("slots", context * contexts)
    run.says(f"{requests} requests of each trace, scaled to a context of {context}, from memory for {contexts} whole contexts")
    lines, preempted = 0, 0
    for kind in KINDS:
        trace = made(kind, requests, context, seed)
        for page_slots in [*(p for p in pages if p < context), context]:
            found, path = wasted(trace, context * contexts, page_slots), f"lines[{lines}]."
            run.given(path + "trace", kind)
            for field, value in found.items():
                run.second_route(path + field, value, 1e-9)
            size = "contiguous" if page_slots == context else f"{page_slots} slots"
            run.says(f"{kind} {size} {found['held']:.0f} {found['needed']:.0f} {100 * found['wasted']:.1f} % {found['texts']:.1f} {found['steps']}")
            lines, preempted = lines + 1, preempted + found["preempted"]
    run.holds(len(run.json["lines"]) == lines, f"{len(run.json['lines'])} lines")
    run.says(f"RESULT lines={lines}")
    return preempted


@case("step07_serving", "waste --requests 24 --context 1024 --contexts 3 --pages 1,16,100,2000 -s 3")
def waste(run):
    """A page of one slot wastes nothing; one larger than the context is left out."""
    preempted = check_waste(run, 24, 1024, 3, [1, 16, 100, 2000], 3)
    run.holds(preempted > 0, "nobody was preempted")
    for line in run.json["lines"]:
        run.holds((line["wasted"] == 0) == (line["page_slots"] == 1), f"wasted: {line}")


# --- what an index finds ----------------------------------------------------------------------------


def found_by_index(prompts, pages):
    """(blocks found, evicted), the pages of a prompt being in use while it is there."""
    pool = Pool(pages, 1)
    index, found, evicted = Prefixes(pool), 0, 0
    for prompt in prompts:
        table = index.find("", prompt)
        found += len(table)
        for page in table:
            pool.users[page] += 1
        missing = len(prompt) - len(table) - pool.free
        evicted += index.evict(missing) if missing > 0 else 0
        table += [pool.take() for _ in range(len(prompt) - len(table))]
        index.insert("", prompt, table)
        for page in table:
            pool.release(page)
    return found, evicted


def found_by_lru(prompts, pages):
    """A dictionary keeps the order in which its keys came: what is used goes out and in again. 0 pages: endless."""
    kept, found = {}, 0
    for prompt in prompts:
        found += next((i for i, block in enumerate(prompt) if block not in kept), len(prompt))
        for block in reversed(prompt):
            kept.pop(block, None)
            kept[block] = True
        while pages and len(kept) > pages:
            del kept[next(iter(kept))]
    return found


def check_hits(run, requests, block, pages, seed):
    run.head(seed=seed, experiment="step07_serving hits")
    run.given("block", block)
    run.words(*["pages chain radix plain LRU"] * 2)
    for i, (kind, published) in enumerate(HITS.items()):
        path, prompts = f"traces[{i}].", blocks(made(kind, requests, 0, seed), block)
        everything = [b for prompt in prompts for b in prompt]
        asked, uses = len(everything), {}
        for b in everything:
            uses[b] = uses.get(b, 0) + 1
        endless = asked - len(uses)  # whatever came before is found: all that comes a second time
        run.given(path + "trace", kind)
        run.given(path + "requests", requests)
        run.second_route(path + "blocks", asked)
        run.second_route(path + "different", len(uses))
        run.second_route(path + "endless", endless / asked)
        run.holds(endless == found_by_lru(prompts, 0), "an endless list finds something else")
        run.given(path + "published_endless", published)
        once = sum(n == 1 for n in uses.values())
        run.says(f"{kind}: {requests} requests, {asked} blocks of {block} tokens, {len(uses)} different ones, {100 * once / len(uses):.0f} % of them used once")
        fit = [p for p in pages if p >= max(map(len, prompts))]
        run.holds(0 < len(fit) < len(pages), f"prompts of up to {max(map(len, prompts))} blocks")
        for j, size in enumerate(fit):
            row = f"{path}sizes[{j}]."
            found, evicted = found_by_index(prompts, size)
            run.given(row + "pages", size)
            for field, value in {"chain": found / asked, "radix": found / asked, "lru": found_by_lru(prompts, size) / asked, "evicted": evicted}.items():
                run.second_route(row + field, value)
            run.says(f"{size} {100 * found / asked:.1f} % {100 * found / asked:.1f} % {100 * found_by_lru(prompts, size) / asked:.1f} %")
        run.holds(len(run.json["traces"][i]["sizes"]) == len(fit), "other sizes")
        run.says(f"endless {100 * endless / asked:.1f} % (published: {100 * published:.1f} %)")
    run.says("RESULT indexes_alike=yes")


@case("step07_serving", "hits --requests 400 --pages 50,300,1000")
def hits(run):
    check_hits(run, 400, 512, [50, 300, 1000], 1)


@case("step07_serving", "hits --requests 150 --block 700 -s 5 --pages 20,190,250")
def hits_of_other_blocks(run):
    check_hits(run, 150, 700, [20, 190, 250], 5)
