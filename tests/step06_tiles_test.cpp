// Step 6: tiles of coded rows. Mistakes in mind: a missing m, a scale of another block or slot,
// an expansion that is right in one SIMD level only, bytes that leave out the scales.
#include <doctest/doctest.h>

#include <bit>

#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/quant/coded_tiles.hpp>

#include "quant_rows.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

bool fits(Format code, Index D, bool keys) {
    try {
        check_row_format(code, D, keys);
        return true;
    } catch (const Error&) {
        return false;
    }
}

void fill_tiles(CodedTiles& tiles, Index heads, Index D, Rng& rng) {
    for (Index h = 0; h < heads; ++h) {
        Row rows(usize(32 * D));
        if (tiles.grouped()) {
            for (Index group = 0; group < tiles.slots() / 32; ++group) {
                for (float& x : rows) x = rng.normal();
                tiles.write_group(h, group, rows);
            }
            continue;
        }
        for (Index slot = 0; slot < tiles.slots(); ++slot) {
            Row row(usize(D));
            for (float& x : row) x = rng.normal();
            tiles.write(h, slot, row);
        }
    }
}

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("tiles: the bytes of rows made by hand") {
    // Codes 0..15 and 15..0 in a block of Q4_0 with d = 1: as ggml packs them, the low half of
    // byte j is number j and the high half number j + 16. A word holds four numbers of two
    // slots more.
    Row row(32);
    for (int i = 0; i < 16; ++i) {
        at(row, i) = static_cast<float>(i - 8);
        at(row, i + 16) = static_cast<float>(7 - i);
    }
    CodedTiles q4(&formats::q4_0, CodedTiles::Side::values, 64, 1, 32);
    q4.write(0, 0, row);
    const std::span<const std::byte> bytes = q4.tile_bytes(0, 0);
    REQUIRE(bytes.size() == 64 * 18);
    CHECK(std::to_integer<int>(bytes[0]) == 0x00);  // d = 1 in f16
    CHECK(std::to_integer<int>(bytes[1]) == 0x3c);
    for (std::size_t j = 0; j < 16; ++j) {
        CHECK(bytes[128 + 4 * j] == static_cast<std::byte>(j | (15 - j) << 4));
        CHECK(bytes[129 + 4 * j] == std::byte{0});
    }
    // Slot 2 of the same tile: the third byte of each word, and d behind those of slots 0, 1.
    q4.write(0, 2, row);
    CHECK(std::to_integer<int>(bytes[5]) == 0x3c);
    for (std::size_t j = 0; j < 16; ++j)
        CHECK(bytes[130 + 4 * j] == static_cast<std::byte>(j | (15 - j) << 4));

    // KIVI's keys: channel i of 32 tokens. Tokens 0, 1, 2 ... hold 0, 1, 2, 3, 0, 1 ... in
    // channel 0; in two bits, d = 1 and m = 0. Chunk 0 is tokens 0..15: bits 0 and 1.
    CodedTiles k2(&formats::kivi2, CodedTiles::Side::keys, 64, 1, 16);
    Row group(32 * 16, 5.0f);
    for (std::size_t s = 0; s < 32; ++s) group[s * 16] = static_cast<float>(s % 4);
    k2.write_group(0, 0, group);
    const std::span<const std::byte> k = k2.tile_bytes(0, 0);
    CHECK(std::to_integer<int>(k[1]) == 0x3c);      // d of channel 0
    CHECK(std::to_integer<int>(k[4 + 1]) == 0x00);  // and of channel 1: its tokens are equal
    CHECK(std::to_integer<int>(k[64 + 4 + 1]) == 0x45);  // their m: 5
    for (std::size_t s = 0; s < 16; ++s)                 // and tokens 16..31: bits 2 and 3
        CHECK(std::to_integer<int>(k[128 + 4 * s]) == static_cast<int>(s % 4 | s % 4 << 2));
}

TEST_CASE("tiles: a tile expands to its numbers in every SIMD level") {
    for (const Format code : coded_formats())
        for (const Index D : {16, 24, 32, 48, 64, 96, 128, 256})
            for (const auto side : {CodedTiles::Side::keys, CodedTiles::Side::values}) {
                const bool keys = side == CodedTiles::Side::keys;
                if (!fits(code, D, keys)) continue;
                CAPTURE(std::string(code->name));
                CAPTURE(D);
                CAPTURE(keys);
                const Index Dp = (D + 15) / 16 * 16;
                for (const SimdLevel level : supported_simd_levels()) {
                    Rng rng(62);
                    CodedTiles tiles(code, side, 128, 2, D, level);
                    fill_tiles(tiles, 2, D, rng);
                    Tensor room({64 * Dp + 1});
                    room(64 * Dp) = 77.0f;
                    Index wrong = 0;
                    for (Index tile = 0; tile < 2; ++tile) {
                        const float* const at = tiles.read(1, tile, room.data());
                        for (Index s = 0; s < 64; ++s)
                            for (Index i = 0; i < D; ++i)
                                wrong += std::bit_cast<std::uint32_t>(
                                             at[keys ? i * 64 + s : s * Dp + i]) !=
                                         std::bit_cast<std::uint32_t>(
                                             tiles.number(1, tile * 64 + s, i));
                    }
                    CHECK(wrong == 0);
                    CHECK(room(64 * Dp) == 77.0f);
                }
            }
}

TEST_CASE("tiles: a tile holds the rows that went through the format") {
    for (const Format code : coded_formats())
        for (const auto side : {CodedTiles::Side::keys, CodedTiles::Side::values}) {
            CAPTURE(std::string(code->name));
            CodedTiles tiles(code, side, 100, 1, 64);
            if (tiles.grouped()) continue;
            const std::vector<Row> rows = many_rows(64, 128);
            for (Index s = 127; s >= 0; --s) tiles.write(0, s, at(rows, s));
            // Moved and copied rows keep their bits and leave the others alone.
            tiles.copy_slot(tiles, 0, 70, 3);
            CodedTiles copy(code, side, 200, 1, 64);
            copy.copy_from(tiles, 128);
            for (Index s = 0; s < 128; ++s) {
                const Row kept = rounded(code, at(rows, s == 3 ? 70 : s));
                for (Index i = 0; i < 64; ++i) {
                    CHECK(tiles.number(0, s, i) == at(kept, i));
                    CHECK(copy.number(0, s, i) == at(kept, i));
                }
            }
        }
}

TEST_CASE("bytes: what 1024 tokens take is the closed form and scales are counted") {
    const KvShape shape{4, 8, 2, 32};

    struct Expected {
        Format code;
        Index residual, bytes;
    };

    for (const Expected& e : {Expected{&formats::f32, 128, 2097152},
                              {&formats::f16, 128, 1048576},
                              {&formats::bf16, 128, 1048576},
                              {&formats::e4m3, 128, 524288},
                              {&formats::int8, 128, 589824},
                              {&formats::q8_0, 128, 557056},
                              {&formats::q4_1, 128, 327680},
                              {&formats::q4_0, 128, 294912},
                              {&formats::lloyd4, 128, 327680},
                              {&formats::lloyd2, 128, 196608},
                              {&formats::turbo4, 128, 360448},
                              {&formats::turbo2, 128, 229376},
                              {&formats::turbo4_mse, 128, 327680},
                              {&formats::kivi4, 128, 372736},
                              {&formats::kivi2, 128, 249856},
                              {&formats::kivi2, 32, 209920}}) {
        CAPTURE(std::string(e.code->name));
        QuantOptions options{e.code, e.code};
        options.residual = e.residual;
        KvCache cache(shape, 1024, coded_rows(options));
        Rng rng(65);
        Tensor rows({512, 2, 32});
        for (float& x : rows.flat()) x = rng.normal();
        for (int half = 0; half < 2; ++half) {
            cache.begin(512);
            for (Index layer = 0; layer < 4; ++layer)
                cache.append(layer, rows.view(), rows.view());
            cache.commit();
        }
        CHECK(cache.bytes().logical == e.bytes);
        // Tiles lie without gaps; KIVI keeps a slot for every code and its
        // residual beside them.
        if (e.code->waits)
            CHECK(cache.bytes().allocated ==
                  4 * 2 * 2 * (1024 * e.code->row_bytes(32) + (e.residual + 1) * 32 * 2));
        else
            CHECK(cache.bytes().allocated == e.bytes);
    }
    QuantOptions sinks{&formats::q4_0, &formats::q4_0};
    sinks.sinks = 4;
    KvCache cache(shape, 64, coded_rows(sinks));
    Tensor rows({10, 2, 32});
    cache.begin(10);
    for (Index layer = 0; layer < 4; ++layer) cache.append(layer, rows.view(), rows.view());
    cache.commit();
    CHECK(cache.bytes().logical == 4 * 2 * 2 * (4 * 128 + 6 * 18));
}

TEST_SUITE_END();
