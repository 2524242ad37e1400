#!/usr/bin/env python3
"""What nvcc makes of the kernels: PTX with no instruction that the numeric contract does not know, and machine code that fits.

For each kernel file (step04_cuda/src/kernels/*.cu, step04_cuda/app/*.cu and below, or those named):
  - compiled by nvcc as the build compiles it, to PTX for compute capability 7.5, 8.0 and 9.0. Every instruction of these texts
    must be on the list below. Those of floating point are the ones with one defined result (chapter 1): {fma, add, sub, mul, div, sqrt,
    rcp}.rn.f32, exact or explicitly rounded conversions, comparison, selection, moves. Nothing with .approx, .ftz or .sat, no
    double, no atomic float; max and min with a constant alone. A multiply and an add that the source keeps apart must not have become one.
  - compiled from the newest of them that fits for sm_80, sm_90 and sm_120 by ptxas, as a GPU's driver would: no register spilled, no
    local memory.
    Registers and shared memory stand in step04_cuda/results/ptxas.txt; loads that a thread has under way at once, by the
    PTX (ptx_loads.py), in results/loads.txt.
  - a kernel whose idea are wide loads has them (WIDE).

    ptx_check.py --nvcc NVCC --flags "-fmad=false ..." [--check | --write] [--occupancy PROGRAM] [FILE.cu ...]
    ptx_check.py --self-test [--nvcc NVCC --flags ...] [--occupancy PROGRAM]

--write makes the table anew (and, with --occupancy, results/occupancy.txt: blocks and warps per multiprocessor); --check, the
default, compares. With FILEs there is no table. Exit code 77 without --nvcc: skipped.
"""
import argparse
import glob
import os
import re
import shlex
import subprocess
import sys
import tempfile

import ptx_loads

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
RESULTS = os.path.join("step04_cuda", "results")
ARCHITECTURES = ("sm_80", "sm_90", "sm_120")
# What cmake/KvlabKernels.cmake keeps, and what a driver makes of each.
PTX_OF = {"75": (), "80": ("sm_80",), "90": ("sm_90", "sm_120")}
SKIPPED = 77
# Instructions without which a kernel is not what its file says, each as a pattern for an opcode or what follows it, and the
# first capability that has it.
WIDE = {
    "linear_vector": ((r"ld\.global(\.nc)?\.v4", 75), (r"ld\.global(\.nc)?\.v2", 75)),
    "linear_chains": ((r"ld\.global(\.nc)?\.v4", 75), (r"st\.shared\.v4", 75)),
    "linear_pipelined": ((r"cp\.async\.cg\.shared\.global .*, 16, 16;", 80), (r"cp\.async\.wait_group +1;", 80), (r"ld\.shared\.v4", 75)),
    "attention_vector": ((r"ld\.global(\.nc)?\.v4", 75), (r"st\.shared\.v4", 75), (r"ld\.shared\.v4", 75)),
    "attention_async_64": ((r"cp\.async\.cg\.shared\.global .*, 16, 16;", 80), (r"cp\.async\.wait_group", 80), (r"ld\.shared\.v4", 75)),
    "attention_async_128": ((r"cp\.async\.cg\.shared\.global .*, 16, 16;", 80), (r"cp\.async\.wait_group", 80), (r"ld\.shared\.v4", 75)),
    **{f"token_{name}": ((r"cp\.async\.cg\.shared\.global .*, 16, 16;", 80), (r"cp\.async\.wait_group", 80))
       for name in ("attention_in", "attention_out", "feed_forward_in", "feed_forward_out", "output", "persistent")},
    "token_attend": ((r"ld\.global(\.nc)?\.v4", 75), (r"st\.shared\.v4", 75), (r"ld\.shared\.v4", 75)),
    "rms_norm_vector": ((r"ld\.global(\.nc)?\.v4", 75), (r"st\.global\.v4", 75)),
}

INTEGER = r"(8|16|32|64)"
# Whole opcodes; an instruction with a type of floating point must match one.
FLOATING = [re.compile(pattern + r"\Z") for pattern in (
    r"(fma|add|sub|mul|div|sqrt|rcp)\.rn\.f32",
    r"(neg|abs|mov|selp)\.f32",
    r"setp\.(eq|ne|lt|le|gt|ge|equ|neu|ltu|leu|gtu|geu|num|nan)(\.(and|or|xor))?\.f32",
    r"(ld|ldu|st)(\.(param|global|shared|const|volatile|nc|relaxed|weak|gpu|cta|sys|ca|cg|cs))*(\.v[24])?\.f32",
    rf"cvt\.rn\.f32\.[us]{INTEGER}",      # rounded once
    rf"cvt\.r[nzmp]i\.[us]{INTEGER}\.f32",  # to an integer, in a direction that is named
    r"cvt\.r[nzmp]i\.f32\.f32",           # the same, kept as a float: exact
    r"cvt\.f32\.f16", r"cvt\.rn\.f16\.f32",
)]
# The compiler's word for x > c ? x : c. It has one result if c is a number other than zero: between +0 and -0 it may choose.
CLAMP = re.compile(r"(max|min)\.f32\s.*,\s*0f(?!(00|80)000000|[7F]F[89A-F])[0-9A-F]{8};")
FLOAT_TYPE = re.compile(r"\.(f16|f16x2|f32|f32x2|f64|bf16|bf16x2|tf32|e\dm\d(x2)?)(\.|\Z)")
# First words of all other instructions: integers, addresses, control, and a warp's and a block's calls.
OTHERS = set("""add sub mul mad mul24 mad24 div rem abs neg min max sad and or xor not cnot shl shr shf lop3 bfe bfi bfind brev clz
    popc prmt fns dp4a dp2a addc subc setp set selp mov ld ldu st cvt cvta isspacep prefetch prefetchu shfl vote match redux activemask
    bar barrier membar fence atom red bra brx ret exit call trap nanosleep cp""".split())


def kernel_name(symbol):
    """'transpose' of _ZN5kvlab3gpu9transposeEPKfPfii; the symbol itself if it is not a function of kvlab::gpu."""
    parts, rest = [], symbol[3:] if symbol.startswith("_ZN") else ""
    while rest[:1].isdigit():
        digits = re.match(r"\d+", rest)[0]
        end = len(digits) + int(digits)
        parts.append(rest[len(digits):end])
        rest = rest[end:]
    return "::".join(parts[2:]) if parts[:2] == ["kvlab", "gpu"] and len(parts) > 2 and rest[:1] == "E" else symbol


def instructions(ptx):
    """(kernel or function, source file, line, text) of every instruction; needs nvcc's -lineinfo for file and line.

    What was inlined from the toolkit's headers stands where our text calls it.
    """
    files = dict(re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]+)"', ptx, re.M))
    function, place = None, ("", 0)
    for line in ptx.split("\n"):
        line = line.split("//")[0].strip()
        head = re.match(r"(?:\.(?:visible|weak)\s+)*\.(?:entry|func)\s+(?:\([^)]*\)\s*)?([\w$]+)", line)
        at = re.match(r"\.loc\s+(\d+)\s+(\d+)(?:.*inlined_at\s+(\d+)\s+(\d+))?", line)
        if head:
            function = kernel_name(head[1])
        elif at:
            own = re.search(r"\.cuh?$", files.get(at[1], "")) or not at[3]
            place = (os.path.basename(files.get(at[1] if own else at[3], "?")), int(at[2] if own else at[4]))
        elif function and re.match(r"[@a-z{]", line):
            text = re.sub(r"^\{?\s*(@!?%?\w+\s+)?", "", line)
            if re.match(r"[a-z][\w.]*[\s;]", text):
                yield (function, *place, text)


def opcode_of(text):
    return re.match(r"[\w.]+", text)[0]


def allowed(text):
    opcode = opcode_of(text)
    if FLOAT_TYPE.search(opcode):
        return any(pattern.match(opcode) for pattern in FLOATING) or CLAMP.match(text)
    return opcode.split(".")[0] in OTHERS


def ptx_problems(name, ptx):
    """One line for each instruction that is not allowed."""
    problems = [f"{name}: {match}: a function that is not in this file: nobody can read what it does"
                for match in re.findall(r"^\.extern\s+\.func\s+(?:\([^)]*\)\s*)?([\w$]+)", ptx, re.M)]
    for kernel, file, line, text in instructions(ptx):
        if not allowed(text):
            problems.append(f"{file or name}:{line}: kernel '{kernel}': {opcode_of(text)} is not an instruction of the contract")
    return list(dict.fromkeys(problems))  # a loop that was unrolled says it once


def narrow(name, capability, ptx):
    """One line for each instruction of WIDE that a kernel lacks in the PTX for this capability."""
    texts = {}
    for kernel, _, _, text in instructions(ptx):
        texts.setdefault(kernel, []).append(text)
    return [f"{name}: kernel '{kernel}': no {pattern} in the PTX for compute_{capability}"
            for kernel in texts.keys() & WIDE.keys() for pattern, first in WIDE[kernel]
            if capability >= first and not any(re.match(pattern, text) for text in texts[kernel])]


def contractions(name, ptx, kept_apart):
    """Kernels with more fma in `ptx` than in the text where nothing was contracted."""
    def count(text):
        sums = {}
        for kernel, _, _, instruction in instructions(text):
            if instruction.startswith("fma."):
                sums[kernel] = sums.get(kernel, 0) + 1
        return sums
    found, expected = count(ptx), count(kept_apart)
    return [f"{name}: kernel '{kernel}': {number} fma.rn.f32, of which the source writes {expected.get(kernel, 0)}: contracted"
            for kernel, number in found.items() if number > expected.get(kernel, 0)]


def machine_code(log):
    """{(kernel, architecture): {registers, shared, barriers, local}} from what ptxas -v says"""
    table, key, local = {}, None, 0
    for line in log.split("\n"):
        entry = re.search(r"Compiling entry function '(\S+)' for '(\S+)'", line)
        stack = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)
        used = re.search(r"Used (\d+) registers", line)
        if entry:
            key, local = (kernel_name(entry[1]), entry[2]), 0
        elif stack:
            local = sum(int(stack[i]) for i in (1, 2, 3))
        elif used and key:
            shared = re.search(r"(\d+) bytes smem", line)
            barriers = re.search(r"used (\d+) barriers", line)
            lmem = re.search(r"(\d+) bytes lmem", line)
            table[key] = {"registers": int(used[1]), "shared": int(shared[1]) if shared else 0,
                          "barriers": int(barriers[1]) if barriers else 0, "local": local + (int(lmem[1]) if lmem else 0)}
            key = None
    return table


class Compiler:
    def __init__(self, nvcc, flags):
        self.nvcc, self.flags = nvcc, flags

    def run(self, arguments):
        done = subprocess.run([self.nvcc, *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"FAILED nvcc {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def version(self):
        return re.search(r"V(\d+\.\d+\.\d+)", self.run(["--version"]))[1]

    def ptx(self, source, extra=()):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out.ptx")
            self.run([*self.flags, *extra, "-lineinfo", "-arch=compute_75", "-ptx", source, "-o", out])
            return read(out)

    def both(self, source):
        """The PTX for each capability and what ptxas makes of it, by one call."""
        with tempfile.TemporaryDirectory() as folder:
            targets = []
            for capability, made in PTX_OF.items():
                targets += ["-gencode", f"arch=compute_{capability},code=[{','.join((f'compute_{capability}', *made))}]"]
            log = self.run([*self.flags, "-lineinfo", *targets, "-Xptxas", "-v", "-fatbin",
                            "--keep", "--keep-dir", folder, source, "-o", os.path.join(folder, "out.fatbin")])
            stem = os.path.splitext(os.path.basename(source))[0]
            texts = {path: read(path) for path in glob.glob(os.path.join(glob.escape(folder), f"{glob.escape(stem)}*.ptx"))}
            found = {re.search(r"^\.target sm_(\d+)", text, re.M)[1]: text for text in texts.values()}
            if set(found) != set(PTX_OF):
                raise SystemExit(f"FAILED {source}: expected PTX for {', '.join(PTX_OF)}, found {', '.join(sorted(found))}")
            return found, machine_code(log)

    def problems(self, source):
        """(problems, machine code, loads under way) of one kernel file"""
        name = os.path.basename(source)
        texts, code = self.both(source)
        problems = []
        for capability, ptx in texts.items():
            problems += [problem for problem in ptx_problems(name, ptx) if problem not in problems]
            problems += narrow(name, int(capability), ptx)
        if "-fmad=false" not in self.flags:
            problems += contractions(name, texts["75"], self.ptx(source, ["-fmad=false"]))
        for (kernel, architecture), what in code.items():
            if what["local"]:
                problems.append(f"{name}: kernel '{kernel}' on {architecture}: {what['local']} bytes of stack frame, spills or local memory")
        if {a for _, a in code} != set(ARCHITECTURES):
            problems.append(f"{name}: no kernel, or ptxas said nothing of an architecture")
        return problems, code, {kernel_name(symbol): loads for symbol, loads in ptx_loads.under_way(ptx).items()}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def ptxas_table(code, version):
    rows = [f"{kernel:<40} {architecture:<12} {what['registers']:>9} {what['shared']:>19} {what['barriers']:>8}"
            for (kernel, architecture), what in
            sorted(code.items(), key=lambda item: (item[0][0], ARCHITECTURES.index(item[0][1])))]
    return "\n".join([
        "# What ptxas makes of each kernel: tests/tools/ptx_check.py --write made this table.",
        f"# nvcc {version}; no kernel spills a register or has local memory.",
        f"{'# kernel':<40} {'architecture':<12} {'registers':>9} {'static_shared_bytes':>19} {'barriers':>8}", *rows]) + "\n"


def judge_table(path, text, write, comparable):
    """Problems of the committed table; writes it anew if asked to."""
    if write:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        print(f"wrote {path}")
        return []
    if not os.path.isfile(path):
        return [f"{path}: not there; ptx_check.py --write makes it"]
    old, new = [line.split() for line in read(path).split("\n")], [line.split() for line in text.split("\n")]
    if not comparable:  # another compiler takes other numbers of registers; but the kernels are the same
        old, new = [[line[:2] for line in table if line and line[0] != "#"] for table in (old, new)]
    if old == new:
        return []
    missing = [" ".join(line) for line in new if line not in old]
    extra = [" ".join(line) for line in old if line not in new]
    return [f"{path} differs; ptx_check.py --write makes it anew"] + [f"    now: {line}" for line in missing] + \
           [f"    in the table: {line}" for line in extra]


def check_project(compiler, files, write, occupancy):
    tables = not files
    files = files or sorted(glob.glob(os.path.join(glob.escape(ROOT), "step04_cuda", "src", "kernels", "*.cu")) +
                            glob.glob(os.path.join(glob.escape(ROOT), "step04_cuda", "app", "**", "*.cu"), recursive=True))
    problems, code, loads, owner = [], {}, {}, {}
    for source in files:
        found, its_code, its_loads = compiler.problems(source)
        problems += found
        for kernel in {kernel for kernel, _ in its_code}:
            if kernel in owner:
                problems.append(f"{source}: kernel '{kernel}' is in {owner[kernel]}, too: the table needs one name for each")
            owner[kernel] = source
        code.update(its_code)
        loads.update(its_loads)
    if tables and not problems:
        path, version = os.path.join(ROOT, RESULTS, "ptxas.txt"), compiler.version()
        comparable = write or f"nvcc {version};" in (read(path) if os.path.isfile(path) else "")
        if not comparable:
            print(f"not compared: registers (the table is of another nvcc than {version})")
        problems += judge_table(path, ptxas_table(code, version), write, comparable)
        if comparable:
            problems += judge_table(os.path.join(ROOT, RESULTS, "loads.txt"), ptx_loads.table(loads), write, True)
        if occupancy and not problems:
            problems += check_occupancy(occupancy, write)
    for problem in problems:
        print(problem if problem.startswith("    ") else f"FAILED {problem}")
    print(f"{len(files)} files, {len(owner)} kernels, {len(problems)} problems")
    return 1 if problems or not files else 0


def check_occupancy(program, write):
    folder = os.path.join(ROOT, RESULTS)
    done = subprocess.run([program, os.path.join(folder, "ptxas.txt"), os.path.join(folder, "launches.txt")],
                          capture_output=True, text=True)
    if done.returncode != 0:
        return [f"{program}: exit code {done.returncode}: {done.stderr.strip()}"]
    return judge_table(os.path.join(folder, "occupancy.txt"), done.stdout, write, True)


# --- its own test -----------------------------------------------------------------------------------

REFUSED = """fma.rn.ftz.f32 add.f32 mul.f32 add.rz.f32 mul.rn.f64 ex2.approx.f32 ex2.approx.ftz.f32 rsqrt.approx.f32 sqrt.approx.f32
    div.approx.f32 div.full.f32 rcp.approx.ftz.f32 sin.approx.f32 lg2.approx.f32 tanh.approx.f32 atom.global.add.f32 red.global.add.f32
    atom.shared.add.f32 max.f32 min.f32 cvt.f64.f32 cvt.rn.f32.f64 cvt.sat.f32.f32 cvt.rz.f32.s32 cvt.rn.ftz.f32.s32 ld.global.f64
    mov.f64 setp.gt.f64 setp.gt.ftz.f32 fma.rn.f16 fma.rn.f16x2 add.rn.bf16 mad.rn.f32 fma.rm.f32 st.local.v2.f32 set.gt.f32.f32
    wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 tex.1d.v4.f32.s32 testp.finite.f32
    vset.s32 surely.not.known""".split()
ALLOWED = """fma.rn.f32 add.rn.f32 sub.rn.f32 mul.rn.f32 div.rn.f32 sqrt.rn.f32 rcp.rn.f32 neg.f32 abs.f32 mov.f32 selp.f32 setp.gt.f32
    setp.neu.f32 setp.lt.and.f32 ld.global.f32 ld.global.nc.v4.f32 st.shared.v2.f32 ld.param.f32 ld.volatile.shared.f32 cvt.rn.f32.s32
    cvt.rn.f32.u16 cvt.rzi.s32.f32 cvt.rni.s32.f32 cvt.rni.f32.f32 cvt.f32.f16 cvt.rn.f16.f32 shfl.sync.bfly.b32 atom.global.add.u32
    mad.lo.s32 mul.wide.s32 cvta.to.global.u64 bar.sync vote.sync.ballot.b32 bra.uni ret cvt.u64.u32 shf.l.wrap.b32 max.s32
    cp.async.ca.shared.global cp.async.commit_group cp.async.wait_group barrier.sync atom.add.release.gpu.u32 ld.acquire.gpu.u32""".split()

CLAMPS = ["max.f32 \t%f3, %f2, 0fC2FE0000;", "min.f32 %f4, %f3, 0f43000000;"]
NO_CLAMPS = ["max.f32 %f3, %f2, %f1;", "max.f32 %f3, %f2, 0f00000000;", "min.f32 %f3, %f2, 0f80000000;", "max.f32 %f3, %f2, 0f7F800000;",
             "max.f32 %f3, %f2, 0fFFC00000;", "max.ftz.f32 %f3, %f2, 0f43000000;", "max.NaN.f32 %f3, %f2, 0f43000000;"]

PTX = """.version 9.0
.visible .entry _ZN5kvlab3gpu5firstEPf(
	.param .u64 _Z_param_0
)
{
	.reg .f32 	%f<4>;
	.loc	1 7 3
	@%p1 bra 	$L__BB0_2;
	{ // callseq
	mul.rn.f32 	%f1, %f2, %f3;
	@!%p2 fma.rn.f32 	%f1, %f2, %f3, %f1;
$L__BB0_2:
	ret;
}
.entry second(.param .u64 p)
{
	.loc	2 90 5, function_name $L__info_string0, inlined_at 1 9 30
	BAD
	ret;
}
	.file	1 "/a/b/one.cu"
	.file	2 "/a/b/two.hpp"
"""

LOG = """ptxas info    : Compiling entry function '_ZN5kvlab3gpu1aEPf' for 'sm_80'
ptxas info    : Function properties for _ZN5kvlab3gpu1aEPf
    8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 31 registers, used 1 barriers, 4224 bytes smem, 376 bytes cmem[0]
ptxas info    : Compiling entry function '_ZN5kvlab3gpu1bEPf' for 'sm_90'
ptxas info    : Function properties for _ZN5kvlab3gpu1bEPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 9 registers, 376 bytes cmem[0]
"""
CODE = {("a", "sm_80"): {"registers": 31, "shared": 4224, "barriers": 1, "local": 36},
        ("b", "sm_90"): {"registers": 9, "shared": 0, "barriers": 0, "local": 0}}

# Worked out by hand: 65536 / (128 * 256) = 2 blocks; 164, 228 and 100 KiB hold 4, 5 and 2 times 40 + 1 KiB; 65536 / (64 * 1024) = 1.
OCCUPANCY_CODE = "".join(f"{kernel} {architecture} {rest}\n" for architecture in ARCHITECTURES
                         for kernel, rest in (("registers", "128 0 1"), ("shared", "16 8192 1"), ("one", "64 0 0")))
OCCUPANCY_LAUNCHES = "# kernel\nregisters 256 0\nshared 128 32768  # 8 + 32 KiB\none 1024 0\n"
OCCUPANCY = {"registers": ([2, 2, 2], [16, 16, 16]), "shared": ([4, 5, 2], [16, 20, 8]), "one": ([1, 1, 1], [32, 32, 32])}

HEAD = "namespace kvlab::gpu {{ __global__ void k(float* x, int* n) {{ {} }} }}\n"
COMPILED = [  # kernel's text, flags, what must be reported; empty: nothing
    ("x[0] = fmaf(x[1], x[2], x[3] * x[4]) / sqrtf(x[5]) + static_cast<float>(n[0]);", ["-fmad=false"], ""),
    ("x[0] = 1.0f / x[1]; n[0] = static_cast<int>(rintf(x[2])); x[3] = x[4] > x[5] ? x[4] : -fabsf(x[5]);", ["-fmad=false"], ""),
    ("const float y = x[1] > -2.0f ? x[1] : -2.0f; x[0] = y < 3.0f ? y : 3.0f;", ["-fmad=false"], ""),
    ("x[0] = fmaxf(x[1], x[2]);", ["-fmad=false"], "max.f32"),
    ("x[0] = expf(x[1]);", ["-fmad=false"], "ex2.approx"),
    ("x[0] = x[1] / x[2];", ["-fmad=false", "--use_fast_math"], "approx.ftz"),
    ("x[0] = x[1] * 0.1;", ["-fmad=false"], "f64"),
    ("x[0] = rsqrtf(x[1]);", ["-fmad=false"], "rsqrt.approx"),
    ("x[0] = x[1] * x[2] + x[3];", [], "contracted"),
    ("x[0] = x[1] * x[2] + x[3];", ["-fmad=false"], ""),
    ("atomicAdd(x, 1.0f);", ["-fmad=false"], "add.f32"),
    ("atomicAdd(n, 1);", ["-fmad=false"], ""),
    ("int a[64] = {{}}; for (int i = 0; i < 64; ++i) a[n[i] & 63] = i; n[99] = a[n[64] & 63];", ["-fmad=false"], "local memory"),
]


def occupancy_test(program):
    """What is wrong with the program's figures, and with what it says to bad input."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("code.txt", "launches.txt")]

        def run(code, launches):
            for path, text in zip(paths, (code, launches)):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            return subprocess.run([program, *paths], capture_output=True, text=True)
        rows = [line.split() for line in run(OCCUPANCY_CODE, OCCUPANCY_LAUNCHES).stdout.split("\n") if line and line[0] != "#"]
        found = {name: ([int(r[4]) for r in rows if r[0] == name], [int(r[5]) for r in rows if r[0] == name]) for name in OCCUPANCY}
        failed = [] if found == OCCUPANCY else [f"occupancy: expected {OCCUPANCY}, found {found}"]
        for code, launches in ((OCCUPANCY_CODE, "unknown 32 0\n"), (OCCUPANCY_CODE, "one 32\n"), (OCCUPANCY_CODE, "one 32 0 0\n"),
                               (OCCUPANCY_CODE, "one 1025 0\n"), ("one sm_80 64 0 0\n", "one 32 0\n")):
            done = run(code, launches)
            if done.returncode != 1 or done.stderr.count("\n") != 1:
                failed.append(f"occupancy of {launches!r}: exit code {done.returncode}: {done.stderr}")
        return failed


def self_test(nvcc, flags, occupancy):
    failed = [f"{text} is refused" for text in [*ALLOWED, *CLAMPS] if not allowed(text)]
    failed += [f"{text} is allowed" for text in [*REFUSED, *NO_CLAMPS] if allowed(text)]
    for bad in REFUSED:
        found = ptx_problems("x.cu", PTX.replace("BAD", bad + " \t%f1, %f2;"))
        if found != [f"one.cu:9: kernel 'second': {bad} is not an instruction of the contract"]:
            failed.append(f"{bad}: {found}")
    if len(list(instructions(PTX.replace("BAD", "bar.sync 0;")))) != 6 or ptx_problems("x.cu", PTX.replace("BAD", "bar.sync 0;")):
        failed.append("the good text")
    if not ptx_problems("x.cu", ".extern .func  (.param .b32 func_retval0) vprintf\n" + PTX.replace("BAD", "")):
        failed.append("a function of elsewhere is allowed")
    of_rung = PTX.replace("second", "linear_chains")
    lacks = [narrow("x.cu", 75, of_rung.replace("BAD", body)) for body in
             ("ld.global.u32 %r1, [%rd1];", "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%rd1];\n\tst.shared.v4.u32 [%r5], {%r1, %r2, %r3, %r4};")]
    if [len(problems) for problems in lacks] != [2, 0] or narrow("x.cu", 75, PTX):
        failed.append(f"wide loads: {lacks}")
    if kernel_name("_ZN5kvlab3gpu5naive6attendEPKfi") != "naive::attend" or kernel_name("_Z1kPf") != "_Z1kPf":
        failed.append("names")
    if machine_code(LOG) != CODE:
        failed.append(f"what ptxas says: {machine_code(LOG)}")
    if ptx_loads.under_way(ptx_loads.TEST) != ptx_loads.EXPECTED:
        failed.append(f"loads under way: {ptx_loads.under_way(ptx_loads.TEST)}")
    if occupancy:
        failed += occupancy_test(occupancy)
    cases = 0
    if nvcc:
        others = [flag for flag in flags if flag != "-fmad=false"]
        with tempfile.TemporaryDirectory() as folder:
            for number, (body, extra, expected) in enumerate(COMPILED):
                source = os.path.join(folder, f"case{number}.cu")
                with open(source, "w", encoding="utf-8") as file:
                    file.write(HEAD.format(body))
                found, _, _ = Compiler(nvcc, others + extra).problems(source)
                if (not expected and found) or not any(expected in problem for problem in found + [""] * (not expected)):
                    failed.append(f"{body} with {extra}: expected '{expected}', found {found}")
                cases += 1
    for problem in failed:
        print("SELF-TEST FAILED:", problem)
    print(f"self-test: {len(ALLOWED) + 2 * len(REFUSED) + len(CLAMPS) + len(NO_CLAMPS)} instructions, {cases} compiled kernels, {len(failed)} failed")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvcc", default="")
    parser.add_argument("--flags", default="-std=c++20 -fmad=false")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--occupancy", default="", metavar="PROGRAM")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    flags = shlex.split(arguments.flags)
    if arguments.self_test:
        return self_test(arguments.nvcc, flags, arguments.occupancy)
    if not arguments.nvcc:
        print("skipped: no nvcc in this build")
        return SKIPPED
    return check_project(Compiler(arguments.nvcc, flags), arguments.files, arguments.write, arguments.occupancy)


if __name__ == "__main__":
    sys.exit(main())
