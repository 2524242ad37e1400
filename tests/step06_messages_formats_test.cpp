// What judging and formats of a cache say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include <kvlab/attention/wrapped_engine.hpp>
#include <kvlab/kvcache/judge.hpp>
#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/quant/edited_weights.hpp>
#include <kvlab/quant/expand_kernels.hpp>
#include <kvlab/quant/gptq.hpp>
#include <kvlab/quant/int8_engine.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/quant/latent_rows.hpp>
#include <kvlab/quant/linear_algebra.hpp>
#include <kvlab/quant/lloyd_max.hpp>
#include <kvlab/quant/low_rank.hpp>
#include <kvlab/quant/recent_rows.hpp>
#include <kvlab/quant/smooth.hpp>
#include <kvlab/quant/weight_codec.hpp>

#include "models.hpp"
#include "quant_rig.hpp"
#include "quant_support.hpp"
#include "random_data.hpp"

namespace kvlab::test {

namespace {

constexpr float kInfinite = std::numeric_limits<float>::infinity();

std::string unsupported(const char* level) {
    return concat("SIMD level ", level, " is not supported by this processor or not built in");
}

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("messages: models and windows that are judged") {
    Config config = small_config();
    config.context = 8;
    const auto engine = make_cpu_engine();
    const auto load = [&] { return load_model(*make_synthetic(config, 6), *engine); };
    const auto plain = load();
    config.context = 7;
    const Variant shorter{"shorter", load(), engine.get(), {}, 0};
    const auto judged = [&](Index window, std::span<const Variant> variants) {
        const TextWindows text(random_tokens(20, config.vocab, 60), 0, window, 1);
        return judge(plain, *engine, text, variants).positions;
    };
    CHECK(judged(8, {}) == 8);
    CHECK_THROWS_WITH_AS(judged(9, {}), "judge: a window of 9 does not fit the context of 8",
                         Error);
    CHECK(judged(7, {&shorter, 1}) == 7);
    CHECK_THROWS_WITH_AS(judged(8, {&shorter, 1}),
                         "judge: a window of 8 does not fit the context of 7", Error);
    config.vocab = 97;
    const Variant wider{"wider", load(), engine.get(), {}, 0};
    CHECK_THROWS_WITH_AS(judged(7, {&wider, 1}), "judge: vocabularies of 96 and 97 tokens",
                         Error);
}

TEST_CASE("messages: bytes that replace a tensor's") {
    const auto weights = make_synthetic(small_config(), 6);
    EditedWeights edited(*weights);
    const auto replace = [&](std::size_t bytes) {
        edited.replace("blk.0.ffn_down.weight", TensorType::f16, std::vector<std::byte>(bytes));
    };
    CHECK_THROWS_WITH_AS(replace(2 * 72 * 100 - 1),
                         "synthetic llama seed 6: blk.0.ffn_down.weight: 14399 bytes are not "
                         "[72, 100] in F16",
                         Error);
    CHECK(edited.tensor("blk.0.ffn_down.weight").type == TensorType::f32);
    CHECK_NOTHROW(replace(2 * 72 * 100));
    CHECK(edited.tensor("blk.0.ffn_down.weight").type == TensorType::f16);
}

TEST_CASE("messages: formats of a cache") {
    CHECK(find_kv_format(coded_formats(), "kivi2") == &formats::kivi2);
    std::string names;
    for (const Format format : coded_formats())
        names += std::string(names.empty() ? "" : ", ") + format->name;
    CHECK_THROWS_WITH_AS(find_kv_format(coded_formats(), "q5_0"),
                         ("'q5_0' is no format of a cache; they are " + names).c_str(), Error);
    std::byte to[4];
    for (const Format code :
         {&formats::f32, &formats::f16, &formats::bf16, &formats::e4m3, &formats::e5m2}) {
        CHECK_NOTHROW(store_plain(code, 448.0f, to));
        CHECK_THROWS_WITH_AS(store_plain(code, -kInfinite, to),
                             concat(code->name, " cache: found -inf").c_str(), Error);
    }
    CodedRow coded;
    std::vector<float> row(32, 1.0f);
    CHECK_NOTHROW(encode_row(&formats::q4_0, row, coded));
    CHECK_THROWS_WITH_AS(encode_row(&formats::q4_0, std::span(row).first(16), coded),
                         "q4_0: a head_dim of 16 is no multiple of 32", Error);
    row[31] = kInfinite;
    for (const Format code :
         {&formats::int8, &formats::q4_0, &formats::lloyd3, &formats::kivi4})
        CHECK_THROWS_WITH_AS(encode_row(code, row, coded),
                             concat(code->name, " cache: found inf").c_str(), Error);
    CHECK(lloyd_max_levels(1).size() == 2);
    CHECK(lloyd_max_levels(4).size() == 16);
    CHECK_THROWS_WITH_AS(lloyd_max_levels(0), "lloyd-max: 0 bits, expected 1 to 4", Error);
    CHECK_THROWS_WITH_AS(lloyd_max_levels(5), "lloyd-max: 5 bits, expected 1 to 4", Error);
}

TEST_CASE("messages: coded tiles and their slots") {
    using Side = CodedTiles::Side;
    CHECK_NOTHROW(CodedTiles(&formats::kivi4, Side::keys, 64, 2, 16));
    CHECK_THROWS_WITH_AS(CodedTiles(&formats::kivi4, Side::values, 64, 2, 16),
                         "kivi4: a head_dim of 16 is no multiple of 32", Error);

    CodedTiles rows(&formats::q8_0, Side::keys, 100, 2, 32);  // two tiles
    CodedTiles groups(&formats::kivi4, Side::keys, 64, 2, 32);
    const std::vector<float> row(32, 127.0f), group(32 * 32, 1.0f);
    CHECK_NOTHROW(rows.write(1, 127, row));
    CHECK_NOTHROW(groups.write_group(1, 1, group));
    CHECK_NOTHROW(rows.copy_slot(rows, 1, 127, 0));
    CHECK(rows.number(1, 127, 31) == 127.0f);
    CHECK(!rows.tile_bytes(1, 1).empty());

    const auto numbers = std::span(group);
    CHECK_THROWS_WITH_AS(rows.write(0, 0, numbers.first(31)),
                         "coded tiles: a row of 31 numbers in q8_0", Error);
    CHECK_THROWS_WITH_AS(groups.write(0, 0, numbers.first(32)),
                         "coded tiles: a row of 32 numbers in kivi4", Error);
    CHECK_THROWS_WITH_AS(groups.write_group(0, 0, numbers.first(1023)),
                         "coded tiles: a group of 1023 numbers in kivi4", Error);
    CHECK_THROWS_WITH_AS(rows.write_group(0, 0, group),
                         "coded tiles: a group of 1024 numbers in q8_0", Error);
    CHECK_THROWS_WITH_AS(rows.copy_slot(groups, 0, 0, 0),
                         "coded tiles: cannot copy a slot of kivi4 into q8_0", Error);
    const CodedTiles same(&formats::q8_0, Side::keys, 128, 2, 32);
    CHECK_NOTHROW(rows.copy_from(same, 128));
    CHECK_THROWS_WITH_AS(rows.copy_from(same, 129), "coded tiles: cannot copy 129 slots",
                         Error);
    CHECK_THROWS_WITH_AS(rows.copy_from(same, -1), "coded tiles: cannot copy -1 slots", Error);

    struct Place {
        Index kv_head, slot;
    };

    for (const Place at : {Place{0, 128}, {0, -1}, {2, 0}, {-1, 0}}) {
        const std::string said =
            concat("coded tiles: there is no slot ", at.slot, " of head ", at.kv_head);
        const auto refused = [&](auto&& call) {
            CHECK_THROWS_WITH_AS(call(), said.c_str(), Error);
        };
        refused([&] { rows.write(at.kv_head, at.slot, row); });
        refused([&] { rows.number(at.kv_head, at.slot, 0); });
        refused([&] { rows.copy_slot(rows, at.kv_head, at.slot, 0); });
        refused([&] { rows.copy_slot(rows, at.kv_head, 0, at.slot); });
    }
    CHECK_THROWS_WITH_AS(rows.tile_bytes(0, 2), "coded tiles: there is no slot 128 of head 0",
                         Error);
    CHECK_THROWS_WITH_AS(rows.tile_bytes(2, 0), "coded tiles: there is no slot 0 of head 2",
                         Error);
    constexpr Index kWraps = Index{1} << 59;  // times 32: 2^64
    CHECK_THROWS_WITH_AS(rows.tile_bytes(0, kWraps),
                         "coded tiles: there is no slot 128 of head 0", Error);
    CHECK_THROWS_WITH_AS(groups.write_group(0, kWraps, group),
                         "coded tiles: there is no slot 64 of head 0", Error);
    CHECK_THROWS_WITH_AS(groups.write_group(0, 2, group),
                         "coded tiles: there is no slot 64 of head 0", Error);
    CHECK_THROWS_WITH_AS(groups.write_group(0, -1, group),
                         "coded tiles: there is no slot -32 of head 0", Error);
}

TEST_CASE("messages: levels of the kernels") {
    const auto& levels = supported_simd_levels();
    for (const SimdLevel level : {SimdLevel::portable, SimdLevel::avx2, SimdLevel::avx512}) {
        const std::string said = unsupported(simd_level_name(level));
        if (std::find(levels.begin(), levels.end(), level) != levels.end()) {
            CHECK_NOTHROW(expand_kernels(level));
            CHECK_NOTHROW(int8_kernels(best_int8_level(level)));
            continue;
        }
        const Int8Level own = level == SimdLevel::avx2 ? Int8Level::avx2 : Int8Level::avx512;
        CHECK_THROWS_WITH_AS(expand_kernels(level), said.c_str(), Error);
        CHECK_THROWS_WITH_AS(best_int8_level(level), said.c_str(), Error);
        CHECK_THROWS_WITH_AS(int8_kernels(own), said.c_str(), Error);
    }
    CHECK_THROWS_AS(expand_kernels(static_cast<SimdLevel>(99)), Error);
    CHECK_THROWS_AS(best_int8_level(static_cast<SimdLevel>(99)), Error);
    // vnni is avx512 and more.
    if (levels.back() != SimdLevel::avx512)
        CHECK_THROWS_WITH_AS(int8_kernels(Int8Level::vnni), unsupported("avx512").c_str(),
                             Error);
    else if (best_int8_level(SimdLevel::avx512) != Int8Level::vnni)
        CHECK_THROWS_WITH_AS(int8_kernels(Int8Level::vnni), unsupported("vnni").c_str(), Error);
    else
        CHECK_NOTHROW(int8_kernels(Int8Level::vnni));
}

TEST_SUITE_END();

}  // namespace kvlab::test
