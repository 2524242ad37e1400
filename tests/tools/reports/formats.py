"""Number formats and GGUF files, written out from the book in plain Python: what the checks of chapters 6 and
of weights compare with. Nothing here is fast, and nothing is taken from the C++."""
from __future__ import annotations

import math
import struct

# --- floats of fewer bits ---------------------------------------------------------------------


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def f16(x):
    return struct.unpack("<e", struct.pack("<e", x))[0]


def small_float(x, mantissa, least_exponent, largest):
    """The nearest float with so many bits behind the point, ties to even; too large becomes the largest."""
    if x == 0:
        return x
    exponent = max(math.frexp(x)[1] - 1, least_exponent)
    step = 2.0 ** (exponent - mantissa)
    return max(-largest, min(largest, round(x / step) * step))


def bf16(x):
    return small_float(x, 7, -126, 3.4e38)


def e4m3(x):
    return small_float(x, 3, -6, 448.0)


def e5m2(x):
    return small_float(x, 2, -14, 57344.0)


# --- codes with scales ------------------------------------------------------------------------


def by_row(x):
    """INT8 with one float for the row: max|x| / 127."""
    d = max(map(abs, x)) / 127
    return [d * round(v / d) if d else 0.0 for v in x]


def half_away(x):
    return math.floor(abs(x) + 0.5) * (1 if x > 0 else -1)


def q8_0(x):
    d = max(map(abs, x)) / 127
    return [f16(d) * half_away(v / d) if d else 0.0 for v in x]


def q4_0(x):
    """The number of largest magnitude gets code 0, which means -8."""
    d = max(x, key=abs) / -8
    return [f16(d) * (min(15, int(v / d + 8.5)) - 8) if d else 0.0 for v in x]


def q4_1(x):
    low = min(x)
    d = (max(x) - low) / 15
    return [f16(d) * min(15, int((v - low) / d + 0.5)) + f16(low) if d else f16(low) for v in x]


def kivi(bits, x):
    """Codes are taken from the scale as it is kept."""
    low, top = min(x), 2 ** bits - 1
    d, m = f16((max(x) - low) / top), f16(low)
    return [d * max(0, min(top, round((v - m) / d))) + m if d else m for v in x]


def lloyd_levels(bits, _known={}):
    """Of the normal distribution: a limit is the mean of two levels, a level the mean of what lies between."""
    if bits not in _known:
        density = lambda t: math.exp(-t * t / 2) / math.sqrt(2 * math.pi) if math.isfinite(t) else 0.0
        below = lambda t: (1 + math.erf(t / math.sqrt(2))) / 2
        levels = [4 * (i + 0.5) / 2 ** bits - 2 for i in range(2 ** bits)]
        for _ in range(4000):
            limits = [-math.inf, *((a + b) / 2 for a, b in zip(levels, levels[1:])), math.inf]
            levels = [(density(a) - density(b)) / (below(b) - below(a)) for a, b in zip(limits, limits[1:])]
        _known[bits] = levels
    return _known[bits]


def lloyd(bits, x):
    rms = math.sqrt(sum(v * v for v in x) / len(x))
    return [rms * min(lloyd_levels(bits), key=lambda level: abs(level - v / rms)) if rms else 0.0 for v in x]


# Bits of a number of a cache's code, and what is beside them: bytes of a row of D numbers.
KV_CODES = ("f32", "f16", "bf16", "e4m3", "e5m2", "int8", "q8_0", "q4_0", "q4_1", "lloyd4", "lloyd3", "lloyd2", "turbo4",
            "turbo3", "turbo2", "turbo4-mse", "turbo3-mse", "turbo2-mse", "kivi4", "kivi2")
KV_BITS = {"f32": 32, "f16": 16, "bf16": 16, "e4m3": 8, "e5m2": 8, "int8": 8, "q8_0": 8, "q4_0": 4, "q4_1": 4, "lloyd4": 4,
           "lloyd3": 3, "lloyd2": 2, "turbo4": 4, "turbo3": 3, "turbo2": 2, "turbo4-mse": 4, "turbo3-mse": 3, "turbo2-mse": 2, "kivi4": 4, "kivi2": 2}
KV_BESIDE = {"int8": lambda D: 4, "lloyd4": lambda D: 4, "lloyd3": lambda D: 4, "lloyd2": lambda D: 4,  # a float
             "turbo4-mse": lambda D: 4, "turbo3-mse": lambda D: 4, "turbo2-mse": lambda D: 4,
             "turbo4": lambda D: 8, "turbo3": lambda D: 8, "turbo2": lambda D: 8,  # and one more for what is left
             "q8_0": lambda D: D // 32 * 2, "q4_0": lambda D: D // 32 * 2,  # f16 d
             "q4_1": lambda D: D // 32 * 4, "kivi4": lambda D: D // 32 * 4, "kivi2": lambda D: D // 32 * 4}  # d and m


def kv_row_bytes(code, D):
    return D * KV_BITS[code] // 8 + KV_BESIDE.get(code, lambda D: 0)(D)


def in_blocks(function, x, size=32):
    return [y for at in range(0, len(x), size) for y in function(x[at:at + size])]


def kv_round(code, row):
    """What a cache gives back of a row of one head."""
    if code == "f32":
        return list(row)
    plain = {"f16": f16, "bf16": bf16, "e4m3": e4m3, "e5m2": e5m2}
    if code in plain:
        return [plain[code](x) for x in row]
    if code == "int8":
        return by_row(row)
    if code.startswith("lloyd"):
        return lloyd(int(code[5:]), row)
    blocks = {"q8_0": q8_0, "q4_0": q4_0, "q4_1": q4_1, "kivi4": lambda x: kivi(4, x), "kivi2": lambda x: kivi(2, x)}
    return in_blocks(blocks[code], row)


# NF4: quantiles of the normal distribution (QLoRA): eight up to 0, nine from 0 on, scaled so that the ends are 1.
def nf4_levels(_known=[]):
    if not _known:
        from statistics import NormalDist
        offset = 0.5 * ((1 - 1 / 32) + (1 - 1 / 30))
        at = lambda count: [NormalDist().inv_cdf(offset + (0.5 - offset) * i / count) for i in range(count)]
        upper, lower = at(8), at(7)
        _known.extend(sorted([-x / upper[0] for x in lower] + [0.0] + [x / upper[0] for x in upper]))
    return _known


def nf4(numbers, twice):
    """Numbers of a whole matrix, blocks of 64 with the largest magnitude; twice: these as bytes, too."""
    blocks = [numbers[at:at + 64] for at in range(0, len(numbers), 64)]
    largest = [max(map(abs, block)) for block in blocks]
    kept = list(largest)
    if twice:
        mean = sum(largest) / len(largest)
        for first in range(0, len(largest), 256):
            part = [a - mean for a in largest[first:first + 256]]
            kept[first:first + 256] = [max(0.0, mean + x) for x in by_row(part)]
    level = lambda y: min(nf4_levels(), key=lambda one: abs(one - y))
    return [new * level(x / old) if old else 0.0 for block, old, new in zip(blocks, largest, kept) for x in block]


def nf4_bytes(numbers, twice):
    blocks = -(-numbers // 64)
    return -(-numbers // 2) + (4 + 4 * -(-blocks // 256) + blocks if twice else 4 * blocks)


def grid(low, high, bits):
    """(scale as kept, zero, top) of a group whose range is made to hold 0."""
    low, high, top = min(low, 0.0), max(high, 0.0), 2 ** bits - 1
    scale = f16((high - low) / top)
    return scale, max(0, min(top, round(-low / scale))) if scale else 0, top


def on_grid(x, scale, zero, top):
    return scale * (max(0, min(top, round(x / scale) + zero)) - zero) if scale else 0.0


def rtn(row, bits, group):
    out = []
    for at in range(0, len(row), group):
        part = row[at:at + group]
        out += [on_grid(x, *grid(min(part), max(part), bits)) for x in part]
    return out


def rtn_row_bytes(K, bits, group):
    return -(-K // group) * 4 + -(-K * bits // 8)


# --- GGUF -------------------------------------------------------------------------------------

# type: number in the file, numbers of a block, bytes of a block
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q8_0": (8, 32, 34),
         "Q4_K": (12, 256, 144), "BF16": (30, 1, 2)}
NAMES = {number: name for name, (number, _, _) in TYPES.items()}
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
SCALAR_NAMES = ("u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64")


def bytes_of(kind, numbers):
    _, block, size = TYPES[kind]
    return numbers // block * size


def decode_q4_k(block):
    """256 numbers: f16 d and dmin, eight 6-bit scales and minima in 12 bytes, then 128 bytes of codes."""
    d, least = struct.unpack_from("<2e", block)
    packed, codes, out = block[4:16], block[16:], []
    for group in range(8):
        if group < 4:
            scale, minimum = packed[group] & 63, packed[group + 4] & 63
        else:
            scale = (packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4
            minimum = (packed[group + 4] >> 4) | (packed[group] >> 6) << 4
        part = codes[group // 2 * 32:group // 2 * 32 + 32]
        out += [d * scale * (byte >> 4 if group % 2 else byte & 15) - least * minimum for byte in part]
    return out


def decode(kind, raw):
    """The numbers of a tensor's bytes."""
    if kind in ("F32", "F16"):
        size = 4 if kind == "F32" else 2
        return list(struct.unpack(f"<{len(raw) // size}{'f' if kind == 'F32' else 'e'}", raw))
    if kind == "BF16":
        return list(struct.unpack(f"<{len(raw) // 2}f", b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2))))
    out = []
    size = TYPES[kind][2]
    for at in range(0, len(raw), size):
        block = raw[at:at + size]
        if kind == "Q4_K":
            out += decode_q4_k(block)
            continue
        d = struct.unpack_from("<e", block)[0]
        if kind == "Q8_0":
            out += [d * q for q in struct.unpack_from("<32b", block, 2)]
            continue
        m = struct.unpack_from("<e", block, 2)[0] if kind == "Q4_1" else -8 * d
        codes = block[4 if kind == "Q4_1" else 2:]
        out += [d * (b & 15) + m for b in codes] + [d * (b >> 4) + m for b in codes]
    return out


def encode(kind, numbers):
    """The bytes of F32, F16 and Q8_0: for models that are made here."""
    if kind != "Q8_0":
        return struct.pack(f"<{len(numbers)}{'f' if kind == 'F32' else 'e'}", *numbers)
    raw = b""
    for at in range(0, len(numbers), 32):
        d = max(map(abs, numbers[at:at + 32])) / 127
        raw += struct.pack("<e32b", d, *(half_away(x / d) for x in numbers[at:at + 32]))
    return raw


class Gguf:
    """A file read back: metadata {key: (type, value)}, tensors {name: (type, shape row-major, bytes)}."""

    def __init__(self, raw):
        self.raw, self.at = raw, 4
        self.version, tensors, keys = self.take("<IQQ")
        self.metadata = {}
        for _ in range(keys):
            name, kind = self.text(), self.take("<I")[0]
            self.metadata[name] = kind, self.value(kind)
        self.alignment = self.metadata.get("general.alignment", (4, 32))[1]
        infos = []
        for _ in range(tensors):
            name, rank = self.text(), self.take("<I")[0]
            extents = self.take(f"<{rank}Q")
            infos.append((name, extents[::-1], *self.take("<IQ")))
        data = -(-self.at // self.alignment) * self.alignment
        self.tensors = {}
        for name, shape, kind, offset in infos:
            size = bytes_of(NAMES[kind], math.prod(shape))
            self.tensors[name] = NAMES[kind], shape, self.raw[data + offset:data + offset + size]

    def take(self, form):
        values = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return values

    def text(self):
        size = self.take("<Q")[0]
        self.at += size
        return self.raw[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, count = self.take("<IQ")
            return inner, [self.value(inner) for _ in range(count)]
        return self.take(SCALARS[kind])[0]

    def numbers(self, name):
        kind, _, raw = self.tensors[name]
        return decode(kind, raw)


def text_bytes(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value_bytes(kind, value):
    if kind == 8:
        return text_bytes(value)
    if kind == 9:
        inner, values = value
        return struct.pack("<IQ", inner, len(values)) + b"".join(value_bytes(inner, v) for v in values)
    return struct.pack(SCALARS[kind], value)


def gguf_bytes(metadata, tensors):
    """A file of {key: (type, value)} and {name: (type name, shape, bytes)}."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, (kind, value) in metadata.items():
        head += text_bytes(key) + struct.pack("<I", kind) + value_bytes(kind, value)
    data = b""
    for name, (kind, shape, raw) in tensors.items():
        head += text_bytes(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], TYPES[kind][0], len(data))
        data += raw + bytes(-len(raw) % 32)
    return head + bytes(-len(head) % 32) + data
