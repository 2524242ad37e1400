#!/usr/bin/env python3
"""CUDA's words in kernels: each that is allowed compiles for the CPU, raw and checked, and with nvcc, where its instructions are
those of the contract; each that is forbidden is refused by the compiler of the CPU, with words that say what to write instead.
The word of an open task is allowed; nvcc makes a text and a trap of it.

    device_words.py --compiler CXX [--nvcc NVCC --flags "-fmad=false ..."] [--no-checked]

The tables below are complete: a word that a header defines and a table lacks is an error, too. Without --nvcc that part is
left out, aloud.
"""
import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile

import ptx_check

HEADERS = os.path.join(ptx_check.ROOT, "step04_cuda", "include", "kvlab", "cuda")
INCLUDES = ["-I" + os.path.join(ptx_check.ROOT, *folder) for folder in (("step04_cuda", "include"), ("step01_tensor", "include"))]

# word: statement with float* x, int* n, unsigned* u, unsigned long long* w
ALLOWED = {
    "__syncthreads": "__syncthreads();",
    "__syncthreads_count": "n[0] = __syncthreads_count(n[1]);",
    "__syncthreads_or": "n[0] = __syncthreads_or(n[1]);",
    "__syncthreads_and": "n[0] = __syncthreads_and(n[1]);",
    "__threadfence": "n[0] = 1; __threadfence(); n[1] = 2;",
    "__syncwarp": "__syncwarp(); __syncwarp(0xffu);",
    "__ballot_sync": "u[0] = __ballot_sync(0xffffffffu, n[0]);",
    "__any_sync": "n[0] = __any_sync(0xffffffffu, n[0]);",
    "__all_sync": "n[0] = __all_sync(0xffffffffu, n[0]);",
    "__shfl_sync": "x[0] = __shfl_sync(0xffffffffu, x[1], 3);",
    "__shfl_xor_sync": "x[0] = __shfl_xor_sync(0xffffffffu, x[1], 3); w[0] = __shfl_xor_sync(0xffffffffu, w[1], 16);",
    "__shfl_down_sync": "x[0] = __shfl_down_sync(0xffffffffu, x[1], 3);",
    "__shfl_up_sync": "n[0] = __shfl_up_sync(0xffffffffu, n[1], 3, 8);",
    "this_grid": "cooperative_groups::this_grid().sync();",
    "__pipeline_memcpy_async": "__shared__ float row[32]; __pipeline_memcpy_async(&row[n[0]], &x[n[0]], 4);",
    "__pipeline_commit": "__pipeline_commit();",
    "__pipeline_wait_prior": "__pipeline_wait_prior(1);",
    "atomicAdd": "n[0] = atomicAdd(&n[1], 1); u[0] = atomicAdd(&u[1], 1); w[0] = atomicAdd(&w[1], 1);",
    "atomicSub": "n[0] = atomicSub(&n[1], 1); u[0] = atomicSub(&u[1], 1);",
    "atomicExch": "n[0] = atomicExch(&n[1], 1); w[0] = atomicExch(&w[1], 1); x[0] = atomicExch(&x[1], 1.0f);",
    "atomicMin": "n[0] = atomicMin(&n[1], 1); u[0] = atomicMin(&u[1], 1); w[0] = atomicMin(&w[1], 1);",
    "atomicMax": "n[0] = atomicMax(&n[1], 1); u[0] = atomicMax(&u[1], 1); w[0] = atomicMax(&w[1], 1);",
    "atomicAnd": "n[0] = atomicAnd(&n[1], 1); w[0] = atomicAnd(&w[1], 1);",
    "atomicOr": "n[0] = atomicOr(&n[1], 1); w[0] = atomicOr(&w[1], 1);",
    "atomicXor": "n[0] = atomicXor(&n[1], 1); w[0] = atomicXor(&w[1], 1);",
    "atomicInc": "u[0] = atomicInc(&u[1], 9);",
    "atomicDec": "u[0] = atomicDec(&u[1], 9);",
    "atomicCAS": "n[0] = atomicCAS(&n[1], 0, 1); u[0] = atomicCAS(&u[1], 0, 1); w[0] = atomicCAS(&w[1], 0, 1);",
    "__int_as_float": "x[0] = __int_as_float(n[0]);",
    "__float_as_int": "n[0] = __float_as_int(x[0]);",
    "__uint_as_float": "x[0] = __uint_as_float(u[0]);",
    "__float_as_uint": "u[0] = __float_as_uint(x[0]);",
    "__popc": "n[0] = __popc(u[0]);",
    "__popcll": "n[0] = __popcll(w[0]);",
    "__ffs": "n[0] = __ffs(n[1]);",
    "__ffsll": "n[0] = __ffsll(static_cast<long long>(w[1]));",
    "__clz": "n[0] = __clz(n[1]);",
    "__clzll": "n[0] = __clzll(static_cast<long long>(w[1]));",
    "__brev": "u[0] = __brev(u[1]);",
    "__mulhi": "n[0] = __mulhi(n[1], n[2]);",
    "__umulhi": "u[0] = __umulhi(u[1], u[2]);",
    "__int2float_rn": "x[0] = __int2float_rn(n[0]);",
    "__uint2float_rn": "x[0] = __uint2float_rn(u[0]);",
    "__ll2float_rn": "x[0] = __ll2float_rn(static_cast<long long>(w[0]));",
    "min": "n[0] = min(n[1], 7); u[0] = min(u[1], 7u); w[0] = min(w[1], 7ull);",
    "max": "n[0] = max(n[1], 7); u[0] = max(u[1], 7u); w[0] = max(w[1], 7ull);",
    "__ldg": "x[0] = __ldg(&x[1]); const float4 four = __ldg(reinterpret_cast<const float4*>(x)); x[1] = four.z;",
    "__ldca": "x[0] = __ldca(&x[1]);",
    "__ldcg": "x[0] = __ldcg(&x[1]);",
    "__ldcs": "x[0] = __ldcs(&x[1]);",
    "__stcg": "__stcg(&x[0], x[1]);",
    "__stcs": "__stcs(&x[0], x[1]);",
    "__fadd_rn": "x[0] = __fadd_rn(x[1], x[2]);",
    "__fsub_rn": "x[0] = __fsub_rn(x[1], x[2]);",
    "__fmul_rn": "x[0] = __fmul_rn(x[1], x[2]);",
    "__fmaf_rn": "x[0] = __fmaf_rn(x[1], x[2], x[3]);",
    "__fdiv_rn": "x[0] = __fdiv_rn(x[1], x[2]);",
    "__frcp_rn": "x[0] = __frcp_rn(x[1]);",
    "__fsqrt_rn": "x[0] = __fsqrt_rn(x[1]);",
    **{f"__float2{kind}_{to}": f"{into} = __float2{kind}_{to}(x[0]);"
       for kind, into in (("int", "n[0]"), ("uint", "u[0]"), ("ll", "const long long big")) for to in ("rn", "rz", "rd", "ru")},
    # Of the standard library, with one defined result.
    "fmaf": "x[0] = fmaf(x[1], x[2], x[3]);",
    "sqrtf": "x[0] = 1.0f / sqrtf(x[1]);",
    "fabsf": "x[0] = fabsf(x[1]);",
    "rintf": "x[0] = rintf(x[1]) + floorf(x[2]) + ceilf(x[3]) + truncf(x[4]);",
    "make_uint2": "const uint2 two = make_uint2(1u, 2u); u[0] = two.y;",
    "make_uint4": "const uint4 four = make_uint4(1u, 2u, 3u, 4u); u[0] = four.w;",
    "make_float3": "const float3 three = make_float3(1.0f, 2.0f, 3.0f); x[0] = three.z;",
    "float4": "reinterpret_cast<float4*>(x)[0] = make_float4(1.0f, 2.0f, 3.0f, 4.0f);",
}
for kind in ("ll",):  # `big` is used
    for to in ("rn", "rz", "rd", "ru"):
        ALLOWED[f"__float2{kind}_{to}"] += " w[0] = static_cast<unsigned long long>(big);"

# Ends the kernel: it needs a function that prints, which no kernel of the contract calls.
OPEN_TASK = {"todo_device": 'if (n[0] == 0) todo_device("4.1"); n[1] = 2;'}

EXP, TANH, TABLE, ORDERED = "exp2_exact()", "silu() and gelu()", "let the host make a table", "a > b ? a : b"
DIVIDE, ACTIVE = "1.0f / sqrtf(x)", "pass the mask that you mean"


def of_one(words, advice):
    return {word: (f"x[0] = {word}(x[1]);", advice) for word in words.split()}


def of_two(words, advice):
    return {word: (f"x[0] = {word}(x[1], x[2]);", advice) for word in words.split()}


# word: statement, what the message must say
FORBIDDEN = {
    **of_one("__expf __exp10f exp expf exp2 exp2f exp10f expm1f", EXP),
    **of_one("__tanhf tanh tanhf erff", TANH),
    **of_one("__sinf __cosf __tanf sin sinf cos cosf tanf __logf __log2f __log10f log logf log2f log10f log1pf cbrtf", TABLE),
    **of_two("__powf pow powf", TABLE),
    "__sincosf": ("__sincosf(x[0], &x[1], &x[2]);", TABLE),
    "sincosf": ("sincosf(x[0], &x[1], &x[2]);", TABLE),
    **of_one("__frsqrt_rn rsqrt rsqrtf rcbrtf", DIVIDE),
    **of_two("__fdividef fdividef hypotf", DIVIDE),
    **of_two("fmaxf fminf fmax fmin", ORDERED),
    "__activemask": ("u[0] = __activemask();", ACTIVE),
    "min of floats": ("x[0] = min(x[1], x[2]);", "? :"),
    "max of floats": ("x[0] = max(x[1], 0.0f);", "? :"),
    "atomicAdd of a float": ("atomicAdd(&x[0], x[1]);", "add blocks in order"),
    "atomicMax of a float": ("atomicMax(&x[0], x[1]);", "atomicMax: for int"),
}


def text_of(statements):
    """A kernel file, and the word of each of its lines."""
    lines = ["#include <kvlab/cuda/kernel.hpp>", "namespace kvlab::KVLAB_KERNELS {"]
    words = {}
    for number, (word, statement) in enumerate(statements.items()):
        lines.append(f"__global__ void word_{number}([[maybe_unused]] float* x, [[maybe_unused]] int* n, "
                     f"[[maybe_unused]] unsigned* u, [[maybe_unused]] unsigned long long* w) {{ {statement} }}")
        words[len(lines)] = word
    return "\n".join(lines + ["}"]) + "\n", words


def compile_all(command, statements, folder, name="words.cu"):
    """(exit code, {word: errors that name its line}, everything that was said)"""
    path = os.path.join(folder, name)
    text, words = text_of(statements)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    done = subprocess.run([*command, path], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    said = {word: "" for word in statements}
    # Where the word was called stands after the error itself (clang) or before it (g++).
    blocks = re.split(r"(?=^\S[^\n]*\berror: )", done.stderr, flags=re.M)
    before = ""
    for block in blocks:
        for line in re.findall(re.escape(name) + r":(\d+)", before[-2000:] + block):
            if int(line) in words:
                said[words[int(line)]] += block
        before = block
    return done.returncode, said, done.stdout + done.stderr


def variants(compiler, with_checked):
    clang = "clang" in subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    plain = [compiler, *(["-ferror-limit=0"] if clang else []), "-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", *INCLUDES, "-x", "c++", "-c", "-o", os.devnull]
    yield "raw", [*plain, "-O1"]
    if with_checked:
        yield "checked", [*plain, "-O0", "-fsanitize=thread", "-DKVLAB_KERNELS=checked", "-DKVLAB_IS_CHECKED=1"]


def defined_words():
    """What our headers define: (words, forbidden ones)."""
    words, forbidden = set(), set()
    for header in ("kernel.hpp", "device_words.hpp", "atomic_words.hpp", "forbidden_words.hpp", "todo_device.hpp"):
        text = re.sub(r"//[^\n]*", "", ptx_check.read(os.path.join(HEADERS, header)))
        forbidden |= set(re.findall(r"^KVLAB_FORBIDDEN\((\w+),", text, re.M))
        words |= set(re.findall(r"^KVLAB_(?:ATOMIC|LOAD|STORE)\((\w+)[,)]", text, re.M))
        words |= set(re.findall(r"^(?:\[\[noreturn\]\] )?KVLAB_INLINE [\w ]+?\b(__\w+|atomic\w+|this_grid|todo_device)\(", text, re.M))
        for suffix in re.findall(r"^KVLAB_CONVERSIONS\((\w+),", text, re.M):
            words |= {f"__float2{kind}_{suffix}" for kind in ("int", "uint", "ll")}
    return words, forbidden


def check_tables():
    words, forbidden = defined_words()
    problems = [f"'{word}' is defined, but stands in no table" for word in sorted(words - set(ALLOWED) - set(OPEN_TASK))]
    problems += [f"'{word}' is defined by no header" for word in sorted(set(OPEN_TASK) - words)]
    problems += [f"'{word}' is forbidden by a header, but stands in no table" for word in sorted(forbidden - set(FORBIDDEN))]
    if len(words) < 40 or len(forbidden) < 30:
        problems.append(f"the headers' words were not found: {len(words)} and {len(forbidden)}")
    return problems


def check_compiler(compiler, with_checked, folder):
    problems = []
    refused = {word: statement for word, (statement, _) in FORBIDDEN.items()}
    for variant, command in variants(compiler, with_checked):
        code, _, text = compile_all(command, {**ALLOWED, **OPEN_TASK}, folder)
        if code != 0:
            problems.append(f"{variant}: an allowed word does not compile:\n{text[:3000]}")
        code, said, _ = compile_all(command, refused, folder)
        if code == 0:
            problems.append(f"{variant}: forbidden words compile")
        for word, (_, advice) in FORBIDDEN.items():
            name = f"kernels do not call {word}: " if " " not in word else ""
            if advice not in said[word] or name not in said[word]:
                problems.append(f"{variant}: '{word}' is not refused with '{advice}': {said[word][:300] or 'nothing was said'}")
    # What a file says that it demonstrates.
    shown = {"atomicAdd of a float": FORBIDDEN["atomicAdd of a float"][0]}
    for variant, command in variants(compiler, with_checked):
        if compile_all([*command, "-DKVLAB_FLOAT_ATOMICS=1"], shown, folder)[0] != 0:
            problems.append(f"{variant}: a float atomicAdd is refused to those who say that they want it, too")
    return problems


def check_nvcc(nvcc, flags, folder):
    """All words are CUDA's own; the allowed ones become instructions of the contract."""
    out = os.path.join(folder, "words.ptx")
    command = [nvcc, *flags, "-lineinfo", "-arch=compute_80", "-ptx", "-o", out]
    code, _, text = compile_all(command, ALLOWED, folder)
    if code != 0:
        return [f"nvcc: an allowed word does not compile:\n{text[:3000]}"]
    # A float is exchanged as bits: that rounds nothing.
    problems = [f"nvcc: {problem}" for problem in ptx_check.ptx_problems("words.cu", ptx_check.read(out))]
    code, _, text = compile_all([*command, "-Werror=all-warnings"], OPEN_TASK, folder)
    if code != 0 or not all(word in ptx_check.read(out) for word in ("trap;", "vprintf")):
        problems.append(f"nvcc: an open task does not end a kernel:\n{text[:3000]}")
    code, _, text = compile_all(command, {word: statement for word, (statement, _) in FORBIDDEN.items() if word != "atomicMax of a float"},
                                folder)
    if code != 0:
        problems.append(f"nvcc: a forbidden word is none of CUDA's:\n{text[:3000]}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--no-checked", action="store_true")
    parser.add_argument("--nvcc")
    parser.add_argument("--flags", default="")
    arguments = parser.parse_args()
    problems = check_tables()
    with tempfile.TemporaryDirectory() as folder:
        problems += check_compiler(arguments.compiler, not arguments.no_checked, folder)
        if arguments.nvcc:
            problems += check_nvcc(arguments.nvcc, shlex.split(arguments.flags), folder)
        else:
            print("left out: what nvcc makes of the words (no nvcc)")
    for problem in problems:
        print("FAILED", problem)
    print(f"{len(ALLOWED)} allowed words, {len(FORBIDDEN)} forbidden ones, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
