"""Chapter 3: a conversation, whose cache keeps what was said."""
from reports import small_model
from reports.book_model import Checksum, Sampler, Text, printable
from reports.checked import case
from reports.shapes import cache_bytes
from reports.step03_work import cpu

CHAT = {"small.gguf": small_model.file}


def said_to(lines, steps, seed, sampling, system, context):
    """A conversation by the book: turns, transcript, checksum, and rows in the cache."""
    model, text, sampler = small_model.model(), Text(small_model.model()), Sampler(**sampling, seed=seed)
    start, end, encode = small_model.START, small_model.END, small_model.encode

    def message(role, content):
        return [start, *encode(f"{role}\n{content}"), end, *encode("\n")]

    turns, transcript, total = [], [], Checksum()
    for line in lines:
        if transcript:
            # However the reply ended, the template writes one end.
            tokens = (transcript[:-1] if transcript[-1] in small_model.ENDS else transcript) + [end, *encode("\n")]
        else:
            tokens = message("system", system)
        tokens = tokens + message("user", line) + [start, *encode("assistant\n")]
        turn = {"user": line, "reply": "", "tokens": [], "finish": "context full"}
        turns.append(turn)
        if len(tokens) > context:
            break
        transcript, sums = tokens, Checksum()
        fed = list(transcript)[text.length:]
        turn["finish"] = "length"
        while len(turn["tokens"]) < steps and turn["finish"] == "length":
            if text.length + len(fed) > context:
                turn["finish"] = "context full"
                break
            for token in fed:
                logits = text.feed(token)
            sums.add(logits)
            fed = [sampler.choose(logits)]
            turn["tokens"] += fed
            if fed[0] in small_model.ENDS:
                turn["finish"] = "end token"
        transcript = transcript + turn["tokens"]
        for half in (sums.value % 2**32, sums.value >> 32):
            total.add_bits(half)
        reply = small_model.decode(token for token in turn["tokens"] if token not in small_model.ENDS)
        turn["reply"] = reply.decode("utf-8", "replace")
        if turn["finish"] == "context full":
            break
    assert model is text.model
    return turns, transcript, total.hex(), text.length


def check_chat(run, lines, steps, seed=42, system="Be brief.", **sampling):
    run.head(seed=seed, experiment="step03_kvcache chat")
    run.given("model", "small")
    run.given("engine", cpu(run, 1))
    run.given("system", system)
    c = small_model.SHAPE
    turns, transcript, checksum, rows = said_to(lines, steps, seed, sampling, system, c["context"])
    run.second_route("turns", turns)
    run.second_route("transcript", transcript)
    run.closed_form("cache_bytes_held", cache_bytes(c, rows))
    run.second_route("checksum", checksum)
    run.says(f"RESULT tokens={len(transcript)} cache_bytes={cache_bytes(c, rows)} checksum={checksum}")
    # Every reply that was begun ends its line.
    begun = [turn for turn in turns if turn["tokens"] or turn["finish"] == "length"]
    written = "".join(printable(turn["reply"]) + "\n" for turn in begun)
    run.holds(run.output.rpartition("RESULT")[0] == written, f"replies: {run.output}, expected {written}")
    run.words(*[line for line in written.split("\n") if any(c.isdigit() for c in line)])
    full = turns[-1]["finish"] == "context full"
    run.holds(run.errors == ("note: the context of 120 tokens is full\n" if full else ""), f"said as a note: {run.errors}")
    return turns


def chat_words(*flags):
    return ["generate", "--chat", "-m", "SCRATCH/small.gguf", *flags]


@case("step03_kvcache", chat_words("-n", "9", "-t", "4", "-s", "3"), files=CHAT, stdin="low new\nok\nlow\n")
def chat_of_three_turns(run):
    """The second reply ends by itself, the others do not. One sampler makes all of them."""
    turns = check_chat(run, ["low new", "ok", "low"], 9, 3, temperature=4.0)
    run.holds([turn["finish"] for turn in turns] == ["length", "end token", "length"], f"{turns}")


@case("step03_kvcache", chat_words("-n", "200", "-p", "low low er", "--system", "new low", "--chunk", "4"), files=CHAT)
def chat_until_the_context_is_full(run):
    """A context of 120; the last token of the reply was not fed."""
    turns = check_chat(run, ["low low er"], 200, system="new low")
    run.holds(turns[-1]["finish"] == "context full" and turns[-1]["tokens"], f"{turns}")


@case("step03_kvcache", chat_words("-n", "2", "--chunk", "0"), files=CHAT, stdin="low\n" + "zq" * 60 + "\nlow\n")
def chat_with_a_message_that_does_not_fit(run):
    turns = check_chat(run, ["low", "zq" * 60, "low"], 2)
    run.holds(len(turns) == 2 and turns[1]["tokens"] == [], f"{turns}")


@case("step03_kvcache", chat_words("-n", "0"), files=CHAT, stdin="low\r\nnew er\n\nlow\n")
def chat_without_replies(run):
    """An empty line ends it."""
    check_chat(run, ["low", "new er"], 0)
