"""What the kernels of chapter 4 cost, worked out from the chapter's text: each request of each warp written down as the
addresses of its lanes, and counted by the chapter's two rules (sectors of 32 bytes; 32 banks of 4 bytes).

Requests that differ in nothing but in how often they are made stand here once, with that number.
"""
from collections import Counter

K, HEADS, KV_HEADS, D = 576, 9, 3, 64  # SmolLM2's widths
BLOCK, STRIDE, WEIGHT_STRIDE, MOST_ROWS = 64, 65, 20, 16
GROUP = HEADS // KV_HEADS


def sectors(addresses, size):
    return len({at // 32 for a in addresses for at in range(a, a + size, min(size, 32))} |
               {(a + size - 1) // 32 for a in addresses})


def distinct(addresses, size):
    return len({at for a in addresses for at in range(a, a + size)})


def words_of(addresses, size):
    return {at // 4 for a in addresses for at in range(a, a + size)}


OF_ONE_WARP = "global loads: by one warp at most"


class Launch:
    """Counts of one launch, by the names of simt::counter_lines."""

    def __init__(self, kernel, blocks, threads, dynamic_shared=0):
        self.kernel, self.blocks, self.threads, self.dynamic_shared = kernel, blocks, threads, dynamic_shared
        self.counted = Counter()

    def add(self, name, times):
        self.counted[name] += times

    def one_warp(self, loads):
        """What one of its warps loads; the busiest one's is kept."""
        self.counted[OF_ONE_WARP] = max(self.counted[OF_ONE_WARP], loads)

    def _global(self, kind, addresses, size, times):
        addresses = list(addresses)
        if not addresses or not times:
            return
        self.add(f"global {kind}: requests", times)
        self.add(f"global {kind}: sectors", times * sectors(addresses, size))
        self.add(f"global {kind}: sectors at least", times * -(-distinct(addresses, size) // 32))

    def load(self, addresses, size=4, times=1):
        self._global("loads", addresses, size, times)

    def store(self, addresses, size=4, times=1):
        self._global("stores", addresses, size, times)

    def _shared(self, kind, words, size, times):
        """words: number of the first word of each lane."""
        words = list(words)
        if not words or not times:
            return
        touched = words_of([4 * w for w in words], size)
        waves = max(Counter(w % 32 for w in touched).values())
        self.add(f"shared {kind}: requests", times)
        self.add(f"shared {kind}: wavefronts", times * waves)
        self.add(f"shared {kind}: bank conflicts", times * (waves - -(-len(touched) // 32)))

    def read(self, words, size=4, times=1):
        self._shared("loads", words, size, times)

    def write(self, words, size=4, times=1):
        self._shared("stores", words, size, times)

    def figures(self):
        return {"kernel": self.kernel, "blocks": self.blocks, "threads": self.threads, "dynamic_shared": self.dynamic_shared,
                "counted": {name: count for name, count in self.counted.items() if count}}


def launches(found):
    """Of a rung that is one launch, or a list of them."""
    return found if isinstance(found, list) else [found]


LANES = range(32)


def floats(first, count=32, step=1):
    """Addresses of floats, so many apart."""
    return [4 * (first + step * i) for i in range(count)]


# --- products: w of 64 outputs, one panel ------------------------------------------------------------------------

def load_eight(launch, q4_1, k, first, times):
    """A warp's weights of inputs k ... k + 7, of the columns from `first` on; the expansion's fma."""
    if not q4_1:
        for i in range(8):
            launch.load(floats((k + i) * 64 + first), times=times)
        return
    # 32 inputs are a group: two halves for each column, then the codes, eight in a word.
    group = k // 32 * (256 + 1024)
    launch.load([group + 2 * (first + lane) for lane in LANES], 2, times)
    launch.load([group + 128 + 2 * (first + lane) for lane in LANES], 2, times)
    launch.load([group + 256 + 4 * (k % 32 // 8 * 64 + first + lane) for lane in LANES], times=times)
    launch.add("fma", 8 * 32 * times)


def linear_naive(R, q4_1):
    launch = Launch("linear_naive", R, 128)
    for first in (0, 32):
        for k in range(K):
            launch.load([4 * k], times=R)
            launch.load([4 * ((first + lane) * K + k) for lane in LANES], times=R)
        launch.store(floats(first), times=R)
    launch.one_warp(2 * K)
    launch.add("fma", R * 64 * K)
    return launch


def of_weights(q4_1, inputs):
    """Requests of a warp for its columns' weights, as load_eight makes them."""
    return inputs // 8 * (3 if q4_1 else 8)


def linear_coalesced(R, q4_1):
    launch = Launch("linear_coalesced", R, 128)
    for first in (0, 32):
        for k in range(0, K, 8):
            load_eight(launch, q4_1, k, first, R)
            launch.load([0], times=8 * R)
        launch.store(floats(first), times=R)
    launch.one_warp(of_weights(q4_1, K) + K)
    launch.add("fma", R * 64 * K)
    return launch


def linear_split(R, q4_1):
    """Eight blocks of 64 inputs at once: nine take two rounds."""
    launch = linear_coalesced(R, q4_1)
    launch.kernel, launch.blocks, launch.threads = "linear_split", R, 512
    rounds = -(-K // 512)
    launch.counted[OF_ONE_WARP] = rounds * (of_weights(q4_1, 64) + 64)  # a chain in each round
    launch.write(LANES, times=R * rounds * 16)
    launch.read(LANES, times=R * 2 * (K // 64))  # by the warps that add
    launch.add("barriers", R * rounds * 2)
    return launch


def linear_shared(R, q4_1):
    blocks = -(-R // 16)
    launch = Launch("linear_shared", blocks, 512)
    for k in range(0, K, 8):
        for first in (0, 32):
            load_eight(launch, q4_1, k, first, blocks)
            launch.write(LANES, times=8 * blocks)
    tiles = K // 64
    launch.load(floats(0), times=tiles * R * 2)  # x, by two warps a row
    launch.write(LANES, times=tiles * R * 2)
    launch.one_warp(tiles * (of_weights(q4_1, 8) + -(-min(R, 16) // 8)))  # eight inputs of a tile, every eighth row
    launch.read([0], times=R * 2 * K)
    launch.read(LANES, times=R * 2 * K)
    launch.write(LANES, times=tiles * R * 2)
    launch.read(LANES, times=(tiles - 1 + 1) * R * 2)  # not at first; and once more at the end
    launch.store(floats(0), times=R * 2)
    launch.add("fma", R * 64 * K)
    launch.add("barriers", 2 * tiles * blocks)
    return launch


def linear_registers(R, q4_1):
    launch = Launch("linear_registers", 1, 256)
    for k in range(0, K, 8):
        for first in (0, 32):
            load_eight(launch, q4_1, k, first, 1)
            launch.write(LANES, times=8)
    tiles = K // 64
    launch.load(floats(0), times=tiles * R * 2)
    launch.one_warp(tiles * (of_weights(q4_1, 16) + -(-R // 4)))
    launch.write(LANES, times=tiles * 64 * 2)  # zeros behind the last row, too
    for warp in range(8):
        launch.read([4 * (lane % 16) for lane in LANES], 16, K)
        for i in range(4):
            launch.read([((2 * warp + lane // 16) * 4 + i) * 65 for lane in LANES], times=K)
            rows = [(2 * warp + lane // 16) * 4 + i for lane in LANES]
            for j in range(4):
                launch.store([4 * (row * 64 + lane % 16 * 4 + j) for row, lane in zip(rows, LANES) if row < R])
    launch.add("fma", 256 * 16 * K)
    launch.add("barriers", 2 * tiles)
    return launch


def panel_bytes(q4_1, inputs):
    return inputs // 32 * 1280 if q4_1 else inputs * 256


def linear_vector(R, q4_1):
    """Sixteen threads have the columns, by fours, of a chain of 64 inputs; so a warp has two chains, and the last one."""
    launch = Launch("linear_vector", R, 256, 16 * 256)

    def load(chains, at, size, times=1):
        launch.load([panel_bytes(q4_1, 64 * chain) + at + size * four for chain in chains for four in range(16)], size, times * R)
    for first in range(0, K // 64, 2):
        chains = range(first, min(first + 2, K // 64))
        for k in range(64):
            launch.load([4 * (64 * chain + k) for chain in chains], times=R)
            if not q4_1:
                load(chains, 256 * k, 16)
        for group in (0, 1280) if q4_1 else ():
            load(chains, group, 8)  # four d
            load(chains, group + 128, 8)  # four m
            for eight in range(4):
                load(chains, group + 256 + 256 * eight, 16)
    launch.one_warp(64 + (2 * (2 + 4) if q4_1 else 64))  # one or two chains
    launch.write([4 * lane for lane in LANES], 16, R * 8)
    launch.read([4 * four for four in range(16)], 16, R * (K // 64))  # by half of a warp, which adds
    for j in range(4):
        launch.store(floats(j, 16, 4), times=R)
    launch.add("fma", R * 64 * K + q4_1 * R * 64 * K)
    launch.add("barriers", R * 2)
    return launch


def linear_chains(R, q4_1):
    """One row, four or eight are computed; what is no row of x is zeros."""
    chains, rows = K // 64, 1 if R == 1 else 4 if R <= 4 else 8
    launch = Launch("linear_chains", chains, 64, panel_bytes(q4_1, 64))
    launch.load(floats(0), times=chains * R * 2)
    for begin in range(0, panel_bytes(q4_1, 64), 32 * 16):
        pieces = range(begin, min(begin + 32 * 16, panel_bytes(q4_1, 64)), 16)
        launch.load(pieces, 16, chains)
        launch.write([piece // 4 for piece in pieces], 16, chains)
    launch.one_warp(R + -(-panel_bytes(q4_1, 64) // (64 * 16)))
    launch.write(LANES, times=chains * 8 * 2)  # x
    launch.read([0], times=chains * 2 * 64 * rows)
    if q4_1:
        launch.read([lane // 2 for lane in LANES], times=chains * 2 * 2 * 2)  # d and m of two groups
    launch.read(LANES, times=chains * 2 * (8 if q4_1 else 64))
    launch.store(floats(0), times=chains * R * 2)
    launch.add("fma", 64 * K * (rows + q4_1))
    launch.add("barriers", chains)
    return launch


def combine_chains(R):
    launch = Launch("combine_chains", R, 128)
    launch.load(floats(0), times=R * 2 * (K // 64))
    launch.one_warp(K // 64)
    launch.store(floats(0), times=R * 2)
    return launch


def linear_wide(R, q4_1):
    """Two launches for each eight rows."""
    return [launch for first in range(0, R, 8) for few in [min(8, R - first)]
            for launch in (linear_chains(few, q4_1), combine_chains(few))]


def linear_pipelined(R, q4_1):
    """32 inputs at a time: four warps copy 8 inputs of 4 rows, and the weights in pieces of 16 bytes."""
    steps, tile = K // 32, panel_bytes(q4_1, 32)
    launch = Launch("linear_pipelined", 1, 128, 4 * 2 * 32 * (132 + 64))
    halves = 1 if R <= 64 else 2  # of a tile of 128 rows
    for first in range(0, halves * 64, 4):
        lanes = [(k, r) for r in range(4) for k in range(8)]
        there = [(k, r) for k, r in lanes if first + r < R]
        launch.load([4 * ((first + r) * K + k) for k, r in there], times=4 * steps)
        for part in (there, [lane for lane in lanes if lane not in there]):  # copied, and zeros
            launch.write([132 * k + first + r for k, r in part], times=4 * steps)
    for begin in range(0, tile, 32 * 16):
        pieces = range(begin, min(begin + 32 * 16, tile), 16)
        launch.load(pieces, 16, steps)
        launch.write([piece // 4 for piece in pieces], 16, steps)
    launch.one_warp(steps * (-(-R // 4) + -(-tile // (128 * 16))))
    launch.add("asynchronous copies", steps * (32 * R + tile // 16))
    if q4_1:  # two eights for each thread
        launch.read([lane // 2 for lane in LANES], times=steps * 4 * 2)
        launch.read(LANES, times=steps * 4 * 2)
        launch.write(LANES, times=steps * 4 * 2 * 8)
    launch.read([4 * (lane // 8) for lane in LANES], 16, K * 4 * halves)
    launch.read([4 * (lane % 8) for lane in LANES], 16, K * 4 * 2)
    for warp in range(4):
        for i in range(8):
            rows = [i // 4 * 64 + (4 * warp + lane // 8) * 4 + i % 4 for lane in LANES]
            for j in range(8):
                launch.store([4 * (row * 64 + j // 4 * 32 + lane % 8 * 4 + j % 4) for row, lane in zip(rows, LANES) if row < R])
    launch.add("fma", halves * 64 * 64 * K + q4_1 * 64 * K)
    launch.add("barriers", steps * (2 + q4_1))
    return launch


# --- norms of 4 rows, argmax of 4096 -----------------------------------------------------------------------------

def rms_norm_naive(R):
    launch = Launch("rms_norm_naive", 1, 128)
    for i in range(K):
        launch.load(floats(i, R, K), times=3)  # twice for the square, once for the product
        launch.load([4 * i])
        launch.store(floats(i, R, K))
    launch.one_warp(4 * K)
    launch.add("fma", R * K)
    return launch


def rms_norm_block(R):
    launch = Launch("rms_norm_block", R, 128, 4 * (K + (K - 1) // 64 + K // 64))
    each = K // 32
    launch.load(floats(0), times=R * each * 2)  # x, and the weight at the end
    launch.store(floats(0), times=R * each)
    launch.one_warp(2 * -(-each // 4))
    launch.write(LANES, times=R * each)
    launch.read(LANES, times=R * each)
    launch.read([65 * b for b in range(K // 64)], times=R * 64)
    launch.write(range(K // 64), times=R)
    launch.read([0], times=R * 4 * (K // 64))  # all four warps add the sums
    launch.add("fma", R * K)
    launch.add("barriers", 3 * R)
    return launch


def rms_norm_vector(R):
    """x and the weights, four numbers a thread."""
    fours, each = K // 4, 8
    launch = Launch("rms_norm_vector", R, 256, 4 * (K // 64) * (68 + 1))
    for warp in range(each):
        mine = [32 * warp + lane for lane in LANES]
        there = [at for at in mine if at < fours]
        launch.load([16 * at for at in there], 16, 2 * R)
        launch.write([4 * at + at // 16 * 4 for at in there], 16, R)
        launch.store([16 * at for at in there], 16, R)
    launch.one_warp(2)
    launch.read([68 * b for b in range(K // 64)], 16, R * 16)
    launch.write(range(K // 64), times=R)
    launch.read([0], times=R * each * (K // 64))  # all eight warps add the sums
    launch.add("fma", R * K)
    launch.add("barriers", 2 * R)
    return launch


def argmax_naive(values):
    launch = Launch("argmax_naive", 1, 1)
    launch.load([0], times=2 * (len(values) - 1))
    launch.one_warp(2 * (len(values) - 1))
    launch.store([0])
    return launch


def argmax_tree(values):
    launch = Launch("argmax_tree", 1, 1024)
    launch.load(floats(0), times=len(values) // 32)
    launch.one_warp(len(values) // 1024)
    launch.store([0])
    launch.write(LANES, times=2 * 32)
    best = [max(range(t, len(values), 1024), key=lambda i: (values[i], -i)) for t in range(1024)]
    half = 512
    while half:
        for first in range(0, half, 32):
            lanes = range(first, min(first + 32, half))
            behind = [t for t in lanes if not values[best[t + half]] > values[best[t]]]
            equal = [t for t in behind if not values[best[t]] > values[best[t + half]]]
            better = [t for t in lanes if t not in behind or (t in equal and best[t + half] < best[t])]
            for active, times in ((lanes, 2), (behind, 2), (equal, 2), (better, 2)):
                launch.read(active, times=times)
            launch.write(better, times=2)
            for t in better:
                best[t] = best[t + half]
        launch.add("barriers", 1)
        half //= 2
    launch.read([0])
    return launch


def argmax_parts(values):
    """A thread has four values."""
    blocks, warp_count = -(-len(values) // 1024), 8
    launch = Launch("argmax_parts", blocks, 256)
    launch.load(floats(0), times=4 * blocks * warp_count)
    launch.one_warp(4)
    launch.write([0], times=2 * blocks * warp_count)
    launch.read(range(warp_count), times=2 * blocks)
    launch.store([0], times=2 * blocks)
    launch.add("shuffles", 10 * blocks * (warp_count + 1))
    launch.add("barriers", blocks)
    return launch


def argmax_of_parts(values):
    """Pairs of index and value, behind the one number that is the answer."""
    launch = Launch("argmax_of_parts", 1, 32)
    blocks = -(-len(values) // 1024)
    for what in (0, 1):
        launch.load([4 * (1 + 2 * b + what) for b in range(blocks)])
    launch.one_warp(2)
    launch.store([0])
    launch.add("shuffles", 10)
    return launch


# --- attention ---------------------------------------------------------------------------------------------------

class Problem:
    """T tokens behind `past` others, nine query heads and three KV heads of 64; largest(row of q, tile): the exponent of
    the tile's largest score, which decides what two of the kernels read."""

    def __init__(self, T, past, largest):
        self.T, self.past, self.largest = T, past, largest
        self.S, self.rows = past + T, T * HEADS

    def sees(self, t):
        return self.past + t + 1


def warps(count):
    """Lanes with work in each warp that has any."""
    return [(first, min(32, count - first)) for first in range(0, count, 32)]


def scores_naive(p):
    launch = Launch("scores_naive", p.rows * -(-p.S // 128), 128)
    for t in range(p.T):
        for first, lanes in warps(p.sees(t)):
            launch.load([0], times=HEADS * D)
            launch.load(floats(0, lanes, D), times=HEADS * D)
            launch.one_warp(2 * D)
            launch.store(floats(0, lanes), times=HEADS)
        launch.add("fma", HEADS * p.sees(t) * D)
    return launch


def softmax_naive(p):
    launch = Launch("softmax_naive", -(-p.rows // 128), 128)
    for first in range(0, p.rows, 32):
        sees = [p.sees(row // HEADS) for row in range(first, min(first + 32, p.rows))]
        for s in range(max(sees)):
            active = floats(0, sum(s < n for n in sees), p.S)
            launch.load(active, times=2)  # for the maximum, and for the weight
            launch.store(active)
        launch.one_warp(2 * max(sees))
        launch.store(floats(first, len(sees)))
        launch.add("fma", sum(6 * 2 * n for n in sees))
    return launch


def values_naive(p):
    launch = Launch("values_naive", p.rows, 64)
    slots = HEADS * sum(p.sees(t) for t in range(p.T))
    launch.load([0], times=2 * slots)
    launch.load(floats(0), times=2 * slots)
    launch.load([0], times=2 * p.rows)  # the total
    launch.one_warp(2 * p.S + 1)
    launch.store(floats(0), times=2 * p.rows)
    launch.add("fma", slots * D)
    return launch


def scores_staged(p):
    launch = Launch("scores_staged", p.rows * -(-p.S // 64), 64)
    for t in range(p.T):
        for tile in range(0, p.sees(t), BLOCK):
            here = min(BLOCK, p.sees(t) - tile)
            launch.load(floats(0), times=HEADS * 2 * here)
            launch.write(LANES, times=HEADS * 2 * here)
            launch.one_warp(here + D)  # half of the tile's keys, and the query
            for first, lanes in warps(here):
                launch.load([0], times=HEADS * D)
                launch.read([STRIDE * lane for lane in range(lanes)], times=HEADS * D)
                launch.store(floats(0, lanes), times=HEADS)
            launch.add("fma", HEADS * here * D)
            launch.add("barriers", HEADS * 2)
    return launch


def softmax_warp(p):
    launch = Launch("softmax_warp", p.rows, 32)
    for t in range(p.T):
        sees = p.sees(t)
        launch.load([0], times=HEADS)
        for first, lanes in warps(sees):
            launch.load(floats(0, lanes), times=2 * HEADS)
            launch.store(floats(0, lanes), times=HEADS)
        tiles = -(-sees // BLOCK)
        for s in range(BLOCK):  # a lane for each tile
            launch.load([256 * tile for tile in range(tiles) if tile * BLOCK + s < sees], times=HEADS)
        launch.store([0], times=HEADS)
        launch.one_warp(1 + 2 * -(-sees // 32) + min(BLOCK, sees))
        launch.add("shuffles", HEADS * (5 + tiles))
        launch.add("warp synchronisations", HEADS * 2)
        launch.add("fma", HEADS * (32 * 6 + 2 * sees * 6))
    return launch


class Tile:
    """What a block of 128 threads does with up to 16 rows of one KV head, tile by tile."""

    def __init__(self, launch, p, first, count):
        self.launch, self.p, self.first, self.count = launch, p, first, count
        self.fours = -(-count // 4)

    def visible(self, r, tile):
        return 0 if r >= self.count else min(BLOCK, self.p.past + (self.first + r) // GROUP + 1 - tile * BLOCK)

    def copy_queries(self):
        for r in range(self.fours * 4):
            for begin in (0, 32):
                self.launch.write([MOST_ROWS * (begin + lane) + r for lane in LANES])
                if r < self.count:
                    self.launch.load(floats(0))

    def queries_of_one_warp(self):
        """The first of four: two requests for each row."""
        return -(-2 * self.count // 4)

    def copy(self, slots):
        self.launch.load(floats(0), times=2 * slots)
        self.launch.write(LANES, times=2 * slots)

    def weigh(self, tile, slots):
        launch = self.launch
        self.copy(slots)
        for four in range(self.fours):
            for first, lanes in warps(slots):
                launch.read([STRIDE * (first + lane) for lane in range(lanes)], times=D)
                launch.read([0], 16, D)
                launch.write([WEIGHT_STRIDE * (first + lane) + 4 * four for lane in range(lanes)], 16)
                launch.add("fma", 4 * lanes * D)
        for r in range(self.count):
            seen = self.visible(r, tile)
            if seen <= 0:
                continue
            for half in (0, 32):
                mine = [half + lane for lane in LANES if half + lane < seen]
                # A lane without a slot reads slot 0, and writes nothing.
                launch.read([WEIGHT_STRIDE * s for s in (mine if len(mine) == 32 else [*mine, 0])])
                launch.write([WEIGHT_STRIDE * s for s in mine])
            launch.write([0])
            launch.add("shuffles", 5)
            launch.add("warp synchronisations", 1)
            launch.add("fma", 2 * 32 * 6)
        launch.add("barriers", 3)

    def rows_in_sight(self, tile):
        return [r for r in range(self.count) if self.visible(r, tile) > 0]

    def totals(self, tile):
        for s in range(BLOCK):
            self.launch.read([r for r in self.rows_in_sight(tile) if s < self.visible(r, tile)])

    def sum_values(self, tile, slots, use):
        launch = self.launch
        self.copy(slots)
        launch.read(LANES, times=self.fours * 2 * slots)
        launch.read([0], 16, self.fours * 2 * slots)
        for r in self.rows_in_sight(tile):
            launch.add("fma", self.visible(r, tile) * D)
            for begin in (0, 32):
                use(r, begin)
        launch.add("barriers", 2)


def shared_bytes(rows):
    return 4 * (64 * STRIDE + D * MOST_ROWS + 64 * WEIGHT_STRIDE + rows * D)


def attention_fused(p):
    rows = min(MOST_ROWS, p.T * GROUP)
    blocks = -(-p.T * GROUP // rows)
    launch = Launch("attention_fused", KV_HEADS * blocks, 128, shared_bytes(rows))
    for kv_head in range(KV_HEADS):
        for first in range(0, p.T * GROUP, rows):
            block = Tile(launch, p, first, min(rows, p.T * GROUP - first))
            block.copy_queries()
            end, so_far = p.past + (first + block.count - 1) // GROUP + 1, {}
            launch.one_warp(block.queries_of_one_warp() + 2 * sum(-(-min(BLOCK, end - at) // 2) for at in range(0, end, BLOCK)))
            for tile in range(-(-end // BLOCK)):
                slots = min(BLOCK, end - tile * BLOCK)
                block.weigh(tile, slots)
                block.totals(tile)
                seeing = block.rows_in_sight(tile)
                launch.read(seeing, times=2)  # what was before (at first the tile itself), and the tile
                now = {r: p.largest((first + r) // GROUP, kv_head * GROUP + (first + r) % GROUP, tile) for r in seeing}
                launch.read([r for r in seeing if now[r] > so_far.get(r, now[r])])
                so_far |= {r: max(now[r], so_far.get(r, now[r])) for r in seeing}
                launch.read(seeing)  # the tile's maximum for the new factor
                launch.write(seeing, times=4)
                if tile:
                    launch.read(seeing, times=3)  # total and both factors

                def use(r, begin, tile=tile):
                    launch.write(LANES)
                    if tile:
                        launch.read(LANES)
                        launch.read([0], times=2)
                block.sum_values(tile, slots, use)
            launch.read(LANES, times=2 * block.count)
            launch.read([0], times=2 * block.count)
            launch.store(floats(0), times=2 * block.count)
    return launch


def attention_parts(p):
    rows, part, tiles = p.T * GROUP, D + 2, -(-p.S // BLOCK)
    launch = Launch("attention_parts", KV_HEADS * tiles, 128, shared_bytes(rows))
    for kv_head in range(KV_HEADS):
        for tile in range(tiles):
            block = Tile(launch, p, 0, rows)
            at = (kv_head * tiles + tile) * rows * part
            slots = min(BLOCK, p.S - tile * BLOCK)
            launch.one_warp(block.queries_of_one_warp() + 2 * -(-slots // 2))
            block.copy_queries()
            block.weigh(tile, slots)
            block.totals(tile)
            seeing = block.rows_in_sight(tile)
            launch.read(seeing)
            for more in (D, D + 1):
                launch.store([4 * (at + r * part + more) for r in seeing])
            block.sum_values(tile, slots, lambda r, begin: launch.store(floats(at + r * part + begin)))
    return launch


def combine_parts(p):
    rows, part, tiles = p.T * GROUP, D + 2, -(-p.S // BLOCK)
    launch = Launch("combine_parts", KV_HEADS * rows, 64)
    for kv_head in range(KV_HEADS):
        for r in range(rows):
            t, so_far, made = r // GROUP, None, 0
            for tile in range((p.past + t) // BLOCK + 1):
                now = p.largest(t, kv_head * GROUP + r % GROUP, tile)
                # Its maximum: for what was before or for comparison, and for its factor; its total.
                loads = 4 if so_far is None or now > so_far else 3
                launch.load([0], times=2 * loads)
                made += loads + 1
                so_far = now if so_far is None else max(now, so_far)
                for begin in (0, 32):
                    launch.load(floats(((kv_head * tiles + tile) * rows + r) * part + begin))
            launch.one_warp(made)
            launch.store(floats(0), times=2)
    return launch


RUNGS = {
    "linear": {"naive": linear_naive, "coalesced": linear_coalesced, "split": linear_split, "shared": linear_shared,
               "registers": linear_registers, "vector": linear_vector, "wide": linear_wide, "pipelined": linear_pipelined},
    "rms_norm": {"naive": rms_norm_naive, "block": rms_norm_block, "vector": rms_norm_vector},
    "argmax": {"naive": (argmax_naive,), "tree": (argmax_tree,), "blocks": (argmax_parts, argmax_of_parts)},
    "attention": {"naive": (scores_naive, softmax_naive, values_naive), "staged": (scores_staged, softmax_warp, values_naive),
                  "fused": (attention_fused,), "split": (attention_parts, combine_parts)},
}
