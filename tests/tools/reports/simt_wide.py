"""What the rungs of attention cost that load sixteen bytes at a time, worked out as simt_counts.py does it."""
from reports.simt_counts import BLOCK, D, GROUP, KV_HEADS, LANES, Launch, Tile, floats

WIDE_STRIDE = BLOCK + 4


def attention_vector(p):
    """A block of 128 threads has one tile; sixteen threads load a slot."""
    rows, tiles = p.T * GROUP, -(-p.S // BLOCK)
    fours = -(-rows // 4)
    launch = Launch("attention_vector", KV_HEADS * tiles, 128, 4 * (64 * WIDE_STRIDE + 4 * fours * (D + WIDE_STRIDE)))
    for _ in range(KV_HEADS):
        for tile in range(tiles):
            block, slots = Tile(launch, p, 0, rows), min(BLOCK, p.S - tile * BLOCK)
            for warp in range(4):
                for j in range(8):
                    lanes = [(2 * warp + lane // 16 + 8 * j, lane % 16) for lane in LANES]
                    launch.load([256 * min(s, slots - 1) + 16 * i for s, i in lanes], 16, 2)  # keys, values
                    launch.write([WIDE_STRIDE * s + 4 * i for s, i in lanes], 16, 2)
            launch.load(floats(0), times=2 * rows)
            launch.one_warp(2 * 8 + rows)  # keys and values, and half of each query
            launch.write(LANES, times=2 * 4 * fours)
            launch.read([WIDE_STRIDE * lane for lane in LANES], 16, fours * 2 * 16)
            launch.read([0], 16, fours * 2 * 16 * 4)
            launch.write(LANES, times=fours * 2 * 4)
            launch.add("fma", fours * 64 * 4 * D)
            four_slots = -(-slots // 4)
            launch.read(LANES, times=fours * 2 * 4 * four_slots)
            launch.read([0], 16, fours * 2 * 4 * four_slots)
            for r in block.rows_in_sight(tile):
                seen = block.visible(r, tile)
                for half in (0, 32):
                    mine = [half + lane for lane in LANES if half + lane < seen]
                    launch.read(mine if len(mine) == 32 else [*mine, 0])
                    launch.write(mine)
                launch.store([0], times=2)  # the maximum; the total
                launch.add("shuffles", 5)
                launch.add("warp synchronisations", 1)
                launch.add("fma", 2 * 32 * 6 + seen * D)
                launch.store(floats(0), times=2)
            launch.add("barriers", 4)
    return launch


def combine_vector(p):
    """A warp for 32 components of a row: the factors of up to 32 tiles at a time, eight parts at a time."""
    rows = p.T * GROUP
    launch = Launch("combine_vector", KV_HEADS * rows * 2, 32)
    for r in range(rows):
        seen, warp_count = (p.past + r // GROUP) // BLOCK + 1, KV_HEADS * 2
        assert seen <= 32
        eights = -(-seen // 8)
        launch.load(floats(0, seen), times=3 * warp_count)  # maxima twice, totals
        launch.load(floats(0), times=8 * eights * warp_count)
        launch.add("shuffles", (5 + 2 * 8 * eights) * warp_count)
        launch.one_warp(3 + 8 * eights)
        launch.store(floats(0), times=warp_count)
    return launch


def place(r, i):
    """Where number i of row r lies in rows of 64 floats: groups of four are exchanged."""
    return 64 * r + ((i // 4 ^ r % 8) * 4 + i % 4)


class Flash:
    """What a warp of a block does with its eight rows; x is a thread's number in the half warp, y that of the half warp."""

    def __init__(self, launch, sees):
        self.launch, self.sees = launch, sees
        self.lanes = [(lane % 16, lane // 16) for lane in LANES]

    def visible(self, r, tile):
        return max(0, min(BLOCK, self.sees[r] - tile * BLOCK))

    def scores(self):
        launch = self.launch
        for i in range(0, D, 4):
            for j in range(4):
                launch.read([place(x + 16 * j, i) for x, y in self.lanes], 16)
                launch.read([place(4 * y + j, i) for x, y in self.lanes], 16)
        launch.add("fma", 32 * 16 * D)

    def weigh(self, tile):
        launch = self.launch
        for j in range(4):
            for part in range(4):
                launch.write([place(4 * y + j, x + 16 * part) for x, y in self.lanes])
        for s in range(BLOCK):  # the chains of the weights, a row for each of x < 4
            launch.read([place(4 * y + x, s) for x, y in self.lanes if x < 4 and s < self.visible(4 * y + x, tile)])
        launch.add("shuffles", 4 * 4)
        launch.add("warp synchronisations", 1)
        launch.add("fma", 32 * 16 * 6)

    def values(self, tile, slots, whole):
        """`whole`: the block's first row sees all of the tile. Then rows that are not there are not left out, either."""
        launch = self.launch
        for begin in range(0, slots, 4):
            for j in range(4):
                launch.read([place(begin + j, 4 * x) for x, y in self.lanes], 16)
                launch.read([place(4 * y + j, begin) for x, y in self.lanes], 16)
        launch.add("fma", sum(BLOCK if whole else self.visible(r, tile) for r in range(8)) * D)

    def store(self):
        launch = self.launch
        launch.add("warp synchronisations", 2)
        launch.add("shuffles", 4)
        for j in range(4):
            launch.write([place(4 * y + j, 4 * x) for x, y in self.lanes], 16)
        for r in range(8):
            if self.sees[r]:
                for begin in (0, 32):
                    launch.read([place(r, begin + lane) for lane in LANES])
                    launch.store(floats(0))


def attention_async(p):
    """Four threads for each of up to 64 rows, 32 where there are few blocks; no more rows than twice what is there."""
    all_rows = p.T * GROUP
    rows = 64 if KV_HEADS * (all_rows // 64) >= 128 else 32
    while rows > 8 and rows // 2 >= all_rows:
        rows //= 2
    blocks = -(-all_rows // rows)
    launch = Launch("attention_async_64", KV_HEADS * blocks, 4 * rows, 4 * 64 * (128 + 2 * rows))
    sees = [p.past + r // GROUP + 1 if r < all_rows else 0 for r in range(blocks * rows)]
    for first in range(0, all_rows, rows):
        for _ in range(KV_HEADS):
            warps_of = [Flash(launch, sees[r:r + 8]) for r in range(first, first + rows, 8)]
            end = max(sees[first:first + rows])
            for warp in range(rows // 8):
                mine = [pair for pair in range(0, BLOCK, 2) if pair // 2 % (rows // 8) == warp]
                queries = [r for r in range(first + warp, min(first + rows, all_rows), rows // 8)]
                launch.one_warp(2 * len(queries) + 2 * sum(at + pair < end for at in range(0, end, BLOCK) for pair in mine))
            launch.write(LANES, times=2 * rows)  # queries, zeros behind the last row
            launch.load(floats(0), times=2 * min(rows, all_rows - first))
            launch.add("asynchronous copies", D * rows)
            for tile in range(-(-end // BLOCK)):
                slots = min(BLOCK, end - tile * BLOCK)
                for pair in range(0, BLOCK, 2):
                    lanes = [(pair + lane // 16, lane % 16) for lane in LANES]
                    launch.load([256 * s + 16 * i for s, i in lanes if s < slots], 16, 2)  # keys, values
                    launch.write([place(s, 4 * i) for s, i in lanes], 16, 2)
                launch.add("asynchronous copies", 2 * BLOCK * 16)
                launch.add("barriers", 2)
                for warp in warps_of:
                    warp.scores()
                    warp.weigh(tile)
                    warp.values(tile, slots, (tile + 1) * BLOCK <= sees[first])
            for warp in warps_of:
                warp.store()
    return launch


RUNGS = {"vector": (attention_vector, combine_vector), "async": (attention_async,)}
