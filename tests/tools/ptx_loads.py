"""Loads of global memory that one thread may have under way at once, by nvcc's PTX: the most of one kind in a stretch of code in which
nothing makes it wait. A stretch ends where a loop begins or jumps back, and at a barrier of the block: what the next turn of a loop loads
waits for its turn. The two sides of an `if` are one stretch, since ptxas predicates them; of the formats that a kernel tells apart the
one with the most loads counts.

It is what an estimate needs to tell a loop that was unrolled from one that loads a number and waits for it. ptxas may do better (begin
the next turn early) or worse (run out of registers).
"""
import re
from collections import Counter

LOAD = re.compile(r"(ld(?:u)?\.(?:volatile\.)?global\S*|cp\.async\S*shared\S*global\S*)\s")
BARRIER = re.compile(r"(bar|barrier)(\.cta)?\.(sync|arrive|red)")


def parts_of(ptx):
    """{symbol of a kernel: its lines}"""
    bodies, symbol = {}, None
    for line in ptx.split("\n"):
        line = line.split("//")[0].strip()
        head = re.match(r"(?:\.(?:visible|weak)\s+)*\.entry\s+([\w$]+)", line)
        if head:
            symbol = head[1]
            bodies[symbol] = []
        elif re.match(r"(?:\.(?:visible|weak)\s+)*\.func\b", line):
            symbol = None
        elif symbol and line:
            bodies[symbol].append(line)
    return bodies


def most_in_a_stretch(lines):
    labels = {line[:-1]: i for i, line in enumerate(lines) if re.fullmatch(r"\$[\w$]+:", line)}
    jumps_back = {}  # line of the jump -> line of its target
    for i, line in enumerate(lines):
        target = re.search(r"\bbra(?:\.uni)?\s+(\$[\w$]+)", line)
        if target and labels.get(target[1], i) < i:
            jumps_back[i] = labels[target[1]]
    begins = set(jumps_back.values())
    most, here = 0, Counter()
    for i, line in enumerate(lines):
        text = re.sub(r"^(@!?%?\w+\s+)?", "", line)
        if i in begins or i in jumps_back or BARRIER.match(text):
            here = Counter()
        load = LOAD.match(text)
        if load:
            here[load[1]] += 1
            most = max(most, here[load[1]])
    return most


def under_way(ptx):
    """{symbol of a kernel: loads}"""
    return {symbol: most_in_a_stretch(lines) for symbol, lines in parts_of(ptx).items()}


def table(loads):
    """Of {kernel's name: loads}."""
    return "\n".join([
        "# Loads of global memory that a thread may have under way at once:",
        "# tests/tools/ptx_check.py --write made this table (ptx_loads.py says how).",
        f"{'# kernel':<40} {'loads':>9}", *(f"{kernel:<40} {count:>9}" for kernel, count in sorted(loads.items()))]) + "\n"


# One load a turn; four a turn on one side of an if and three on the other; two before a barrier and one after it; two formats.
TEST = """.visible .entry one(.param .u64 p)
{
	ld.param.u64 	%rd1, [p];
$L__BB0_1:
	ld.global.f32 	%f1, [%rd1];
	@%p1 bra 	$L__BB0_1;
	ret;
}
.entry seven()
{
$L__BB1_1:
	@%p1 bra 	$L__BB1_2;
	ld.global.nc.f32 	%f1, [%rd1];
	@%p3 ld.global.nc.f32 	%f2, [%rd1];
	ld.global.nc.f32 	%f3, [%rd1];
	ld.global.nc.f32 	%f4, [%rd1];
	bra.uni 	$L__BB1_3;
$L__BB1_2:
	ld.global.nc.f32 	%f1, [%rd1];
	ld.global.nc.f32 	%f1, [%rd1];
	ld.global.nc.f32 	%f1, [%rd1];
$L__BB1_3:
	@%p2 bra 	$L__BB1_1;
	ld.global.nc.f32 	%f1, [%rd1];
	ret;
}
.entry two()
{
	ld.global.v4.f32 	{%f1, %f2, %f3, %f4}, [%rd1];
	ld.global.v4.f32 	{%f1, %f2, %f3, %f4}, [%rd1];
	bar.sync 	0;
	ld.global.v4.f32 	{%f1, %f2, %f3, %f4}, [%rd1];
	ld.global.u16 	%rs1, [%rd1];
	ld.global.u16 	%rs1, [%rd1];
	ret;
}
.func helper()
{
	ld.global.f32 	%f1, [%rd1];
}
.entry none()
{
	st.global.f32 	[%rd1], %f1;
	ld.shared.f32 	%f1, [%r1];
	ret;
}
"""
EXPECTED = {"one": 1, "seven": 7, "two": 2, "none": 0}
