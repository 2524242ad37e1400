// Step 6: what every check of an error says, word for word, and the last value that it takes.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include <kvlab/attention/wrapped_engine.hpp>
#include <kvlab/quant/edited_weights.hpp>
#include <kvlab/quant/expand_kernels.hpp>
#include <kvlab/quant/gptq.hpp>
#include <kvlab/quant/int8_engine.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/quant/judge.hpp>
#include <kvlab/quant/latent_tiles.hpp>
#include <kvlab/quant/linear_algebra.hpp>
#include <kvlab/quant/lloyd_max.hpp>
#include <kvlab/quant/low_rank.hpp>
#include <kvlab/quant/quant_slots.hpp>
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
const KvShape kHeadsOf32{2, 4, 2, 32};

// An engine whose memory the CPU cannot read.
class FarEngine final : public WrappedEngine {
public:
    using WrappedEngine::WrappedEngine;

    bool host_memory() const override { return false; }
};

// attend() outside of a step, before the layer's rows, and with other queries and outputs.
void attend_wrong_steps(KvStore& store, const std::string& name) {
    ThreadPool pool(1);
    const Tensor rows({2, 2, 32}), q({2, 4, 32}), long_q({3, 4, 32});
    Tensor out({2, 4, 32}), long_out({3, 4, 32});
    const auto attend = [&](const Tensor& queries, Tensor& to) {
        store.attend(0, queries.view(), to.view(), pool);
    };
    CHECK_THROWS_WITH_AS(attend(q, out),
                         (name + ": attend() outside of a step, which begin() opens").c_str(),
                         Error);
    store.begin(2);
    CHECK_THROWS_WITH_AS(attend(q, out), (name + ": layer 0 has no keys yet").c_str(), Error);
    store.append(0, rows.view(), rows.view());
    const std::string other = name + ": expected shape [2, 4, 32], found [3, 4, 32]";
    CHECK_THROWS_WITH_AS(attend(long_q, out), other.c_str(), Error);
    CHECK_THROWS_WITH_AS(attend(q, long_out), other.c_str(), Error);
    CHECK_NOTHROW(attend(q, out));
    store.truncate(0);
}

// Layers out of turn, steps that end early or do not fit into 8 slots, and lengths that were
// never reached; `store` is empty.
void misplace_steps(KvStore& store, const std::string& name) {
    const Tensor rows({2, 2, 32});
    const auto append = [&](Index layer) { store.append(layer, rows.view(), rows.view()); };
    const auto refused = [&](auto&& call, const char* said) {
        CHECK_THROWS_WITH_AS(call(), (name + ": " + said).c_str(), Error);
    };
    refused([&] { store.commit(); }, "a step ends with 0 of 2 layers");
    refused([&] { store.begin(0); }, "0 tokens do not fit: 0 of 8 slots are taken");
    refused([&] { store.begin(9); }, "9 tokens do not fit: 0 of 8 slots are taken");
    CHECK_NOTHROW(store.begin(8));
    store.truncate(0);
    store.begin(2);
    refused([&] { append(1); }, "expected layer 0 of 2, found 1");
    refused([&] { append(-1); }, "expected layer 0 of 2, found -1");
    append(0);
    refused([&] { store.commit(); }, "a step ends with 1 of 2 layers");
    append(1);
    refused([&] { append(2); }, "expected layer 2 of 2, found 2");
    store.commit();
    CHECK(store.next_position() == 2);
    refused([&] { store.truncate(3); }, "cannot truncate 2 tokens to 3");
    refused([&] { store.truncate(-1); }, "cannot truncate 2 tokens to -1");
    CHECK_NOTHROW(store.truncate(2));
}

std::string unsupported(const char* level) {
    return concat("SIMD level ", level, " is not supported by this processor or not built in");
}

TensorInfo info_of(const char* name, const Tensor& numbers) {
    TensorInfo info;
    info.name = name, info.type = TensorType::f32, info.shape = numbers.shape();
    info.bytes = std::as_bytes(std::span<const float>(numbers.flat()));
    return info;
}

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("6.0 messages: models and windows that are judged") {
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

TEST_CASE("6.0 messages: bytes that replace a tensor's") {
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

TEST_CASE("6.1 messages: formats of a cache") {
    CHECK(parse_kv_code("kivi2") == KvCode::kivi2);
    CHECK_THROWS_WITH_AS(parse_kv_code("q5_0"),
                         "'q5_0' is no format of a cache; they are f32, f16, bf16, e4m3, e5m2, "
                         "int8, q8_0, q4_0, q4_1, lloyd4, lloyd3, lloyd2, kivi4, kivi2",
                         Error);
    std::byte to[4];
    for (const KvCode code :
         {KvCode::f32, KvCode::f16, KvCode::bf16, KvCode::e4m3, KvCode::e5m2}) {
        CHECK_NOTHROW(store_plain(code, 448.0f, to));
        CHECK_THROWS_WITH_AS(store_plain(code, -kInfinite, to),
                             concat(kv_code_name(code), " cache: found -inf").c_str(), Error);
    }
    CodedRow coded;
    std::vector<float> row(32, 1.0f);
    CHECK_NOTHROW(encode_row(KvCode::q4_0, row, coded));
    CHECK_THROWS_WITH_AS(encode_row(KvCode::q4_0, std::span(row).first(16), coded),
                         "q4_0: a head_dim of 16 is no multiple of 32", Error);
    row[31] = kInfinite;
    for (const KvCode code : {KvCode::int8, KvCode::q4_0, KvCode::lloyd3, KvCode::kivi4})
        CHECK_THROWS_WITH_AS(encode_row(code, row, coded),
                             concat(kv_code_name(code), " cache: found inf").c_str(), Error);
    CHECK(lloyd_max_levels(1).size() == 2);
    CHECK(lloyd_max_levels(4).size() == 16);
    CHECK_THROWS_WITH_AS(lloyd_max_levels(0), "lloyd-max: 0 bits, expected 1 to 4", Error);
    CHECK_THROWS_WITH_AS(lloyd_max_levels(5), "lloyd-max: 5 bits, expected 1 to 4", Error);
}

TEST_CASE("6.1 messages: coded tiles and their slots") {
    using Side = CodedTiles::Side;
    CHECK_NOTHROW(CodedTiles(KvCode::kivi4, Side::keys, 64, 2, 16));
    CHECK_THROWS_WITH_AS(CodedTiles(KvCode::kivi4, Side::values, 64, 2, 16),
                         "kivi4: a head_dim of 16 is no multiple of 32", Error);

    CodedTiles rows(KvCode::q8_0, Side::keys, 100, 2, 32);  // two tiles
    CodedTiles groups(KvCode::kivi4, Side::keys, 64, 2, 32);
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
    const CodedTiles same(KvCode::q8_0, Side::keys, 128, 2, 32);
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

TEST_CASE("6.2 messages: levels of the kernels") {
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
    // vnni is avx512 and more.
    if (levels.back() != SimdLevel::avx512)
        CHECK_THROWS_WITH_AS(int8_kernels(Int8Level::vnni), unsupported("avx512").c_str(),
                             Error);
    else if (best_int8_level(SimdLevel::avx512) != Int8Level::vnni)
        CHECK_THROWS_WITH_AS(int8_kernels(Int8Level::vnni), unsupported("vnni").c_str(), Error);
    else
        CHECK_NOTHROW(int8_kernels(Int8Level::vnni));
}

TEST_CASE("6.3 messages: a quantised cache's shape, options, steps and numbers") {
    const auto make = [](const KvShape& shape, Index capacity, const QuantOptions& options) {
        return std::make_unique<QuantCache>(shape, capacity, options);
    };
    const QuantOptions q8_0 = both(KvCode::q8_0);
    CHECK_NOTHROW(make(kHeadsOf32, 1, q8_0));
    CHECK_THROWS_WITH_AS(make(kHeadsOf32, 0, q8_0),
                         "quant cache: capacity must be positive, found 0", Error);
    CHECK_THROWS_WITH_AS(make({2, 4, 0, 32}, 8, q8_0),
                         "quant cache: KV heads: expected 1 to 4096, found 0", Error);
    QuantOptions rotated = both(KvCode::f16);
    rotated.rotate = true;
    CHECK_NOTHROW(make(kHeadsOf32, 8, rotated));
    CHECK_THROWS_WITH_AS(make({2, 4, 2, 24}, 8, rotated),
                         "hadamard: a head_dim of 24 is no power of two", Error);
    const RopeTable rope(8, 32, 10000.0);
    const auto before_rope = [&](bool rotate, Index capacity) {
        QuantOptions options = both(KvCode::f16);
        options.before_rope = true;
        options.rotate = rotate;
        return std::make_unique<QuantCache>(kHeadsOf32, capacity, options, &rope);
    };
    CHECK_NOTHROW(before_rope(false, 8));
    CHECK_THROWS_WITH_AS(before_rope(true, 8),
                         "quant cache: keys before RoPE cannot be rotated behind it", Error);
    CHECK_THROWS_WITH_AS(before_rope(false, 9),
                         "quant cache: keys before RoPE need a model with RoPE of 9 positions",
                         Error);

    const auto cache = make(kHeadsOf32, 8, q8_0);
    attend_wrong_steps(*cache, "quant cache");
    Tensor rows({3, 2, 32});
    rows(2, 1, 31) = 127.0f;
    cache->begin(3);
    for (const Index layer : {0, 1}) cache->append(layer, rows.view(), rows.view());
    cache->commit();
    CHECK(cache->key(1, 1, 2, 31) == 127.0f);
    CHECK(cache->value(1, 1, 2, 31) == 127.0f);
    const Index ends[] = {2, 2, 3, 32};
    for (std::size_t axis = 0; axis < 4; ++axis)
        for (const Index outside : {Index{-1}, ends[axis]}) {
            Index at[] = {0, 0, 0, 0};
            at[axis] = outside;
            const std::string said = concat("quant cache: there is no element [", at[0], ", ",
                                            at[1], ", ", at[2], ", ", at[3], "]");
            CHECK_THROWS_WITH_AS(cache->key(at[0], at[1], at[2], at[3]), said.c_str(), Error);
            CHECK_THROWS_WITH_AS(cache->value(at[0], at[1], at[2], at[3]), said.c_str(), Error);
        }
}

TEST_CASE("6.3 messages: steps and lengths of caches of codes and of latents") {
    QuantCache codes(kHeadsOf32, 8, both(KvCode::q8_0));
    misplace_steps(codes, "quant cache");
    const auto weights = make_synthetic(small_config(4, 2, 32), 80);
    const auto engine = make_cpu_engine();
    const std::shared_ptr<const Model> model = load_model(*weights, *engine);
    const LatentRanks ranks{{3, 4}, {5, 6}};
    const auto latents =
        make_latent_cache(std::make_shared<const LatentPlan>(model, find_bases(*weights), ranks,
                                                             LatentFormat::f32),
                          8);
    misplace_steps(*latents, "latents");
}

TEST_CASE("6.3 messages: the texts of what has no cache") {
    UncachedQuant store(kHeadsOf32, 4, both(KvCode::q8_0));
    CHECK_NOTHROW(store.begin(1));
    CHECK_NOTHROW(store.begin(4));
    store.commit();
    CHECK_THROWS_WITH_AS(store.begin(0), "uncached quant: 0 tokens, room for 4", Error);
    CHECK_THROWS_WITH_AS(store.begin(5), "uncached quant: 5 tokens, room for 4", Error);
    attend_wrong_steps(store, "uncached quant");
    CHECK_THROWS_WITH_AS(store.truncate(1), "uncached quant: nothing is kept to go back to",
                         Error);
    CHECK_THROWS_WITH_AS(store.truncate(-1), "uncached quant: nothing is kept to go back to",
                         Error);
}

TEST_CASE("6.3 messages: sinks are numbers and lie in the first slots") {
    Tensor rows({1, 2, 32}), fine({1, 2, 32});
    rows(0, 1, 3) = kInfinite;
    QuantOptions options = both(KvCode::q4_0);
    options.sinks = 1;
    const char* const said = "q4_0 cache: a number is not finite";
    QuantCache cache(kHeadsOf32, 8, options);
    cache.begin(1);
    CHECK_THROWS_WITH_AS(cache.append(0, rows.view(), fine.view()), said, Error);
    CHECK_THROWS_WITH_AS(cache.append(0, fine.view(), rows.view()), said, Error);
    CHECK_NOTHROW(cache.append(0, fine.view(), fine.view()));

    QuantSlots slots(options, 64, 2, 32);
    CHECK_THROWS_WITH_AS(slots.write(0, 0, rows.view(), fine.view()), said, Error);
    CHECK_THROWS_WITH_AS(slots.write(0, 0, fine.view(), rows.view()), said, Error);
    CHECK_NOTHROW(slots.write(0, 0, fine.view(), fine.view()));
    CHECK_NOTHROW(slots.write(1, 1, fine.view(), fine.view()));
    CHECK_THROWS_WITH_AS(slots.write(1, 0, fine.view(), fine.view()),
                         "quant slots: a sink in slot 1, which is above its position", Error);

    const auto copy = [&](const SlotTiles& from) { slots.copy_from(from, 2); };
    CHECK_NOTHROW(copy(*slots.make(64)));
    const char* const other = "quant slots: copy between different kinds";
    CHECK_THROWS_WITH_AS(copy(*make_float_slots(64, 2, 32)), other, Error);
    QuantOptions changed = options;
    changed.sinks = 2;
    CHECK_THROWS_WITH_AS(copy(QuantSlots(changed, 64, 2, 32)), other, Error);
    changed = options;
    changed.rotate = true;
    CHECK_THROWS_WITH_AS(copy(QuantSlots(changed, 64, 2, 32)), other, Error);
}

TEST_CASE("6.4 messages: what waits as f16 has to fit into it") {
    RecentRows rows(4, 1, 2);
    std::vector<float> row = {1.0f, 65519.0f};
    rows.write(0, 0, row);
    CHECK(row[1] == 65504.0f);
    row[1] = 65520.0f;
    CHECK_THROWS_WITH_AS(rows.write(0, 0, row), "kivi cache: 65520 does not fit into f16",
                         Error);
    row[1] = -kInfinite;
    CHECK_THROWS_WITH_AS(rows.write(0, 0, row), "kivi cache: -inf does not fit into f16",
                         Error);
}

TEST_CASE("6.5 messages: bits, groups and steps of rounding") {
    for (const int bits : {2, 8}) CHECK_NOTHROW(make_rtn_codec(bits, 1));
    const auto said = [](int bits, Index group) {
        return concat("rtn: expected 2 to 8 bits and a group of 1 or more numbers, found ",
                      bits, " and ", group);
    };
    for (const int bits : {1, 9})
        CHECK_THROWS_WITH_AS(make_rtn_codec(bits, 32), said(bits, 32).c_str(), Error);
    CHECK_THROWS_WITH_AS(make_rtn_codec(4, 0), said(4, 0).c_str(), Error);
    CHECK(grid_of(0, 3 * 65519.0f, 2).scale == 65504.0f);
    CHECK_THROWS_WITH_AS(grid_of(0, 3 * 65520.0f, 2),
                         "round to nearest: a step of 65520 is beyond f16", Error);
}

TEST_CASE("6.6 messages: matrices that are compared and rows that are cut off") {
    const std::vector<double> gram = {1, 0, 0, 1};
    Tensor w({2, 2});
    CHECK(product_error(w.view(), w.view(), gram) == 0.0);
    CHECK_THROWS_WITH_AS(product_error(w.view(), Tensor({1, 2}).view(), gram),
                         "product error: q: expected shape [2, 2], found [1, 2]", Error);
    for (const std::size_t less : {0u, 3u})
        CHECK_THROWS_WITH_AS(product_error(w.view(), w.view(), std::span(gram).first(less)),
                             concat("product error: ", less, " products for 2 columns").c_str(),
                             Error);
    const std::vector<float> ones(2, 1.0f);
    CHECK_NOTHROW(clipped_round(w.view(), ones, gram, 4, 2));
    w(1, 1) = kInfinite;
    CHECK_THROWS_WITH_AS(clipped_round(w.view(), ones, gram, 4, 2),
                         "awq: row 1 has a number that is not finite", Error);
}

TEST_CASE("6.6 messages: a matrix belongs to the engine that loaded it") {
    const auto weights = make_synthetic(small_config(), 13);
    const auto floats = make_cpu_engine();
    const auto model = load_model(*weights, *floats);
    const std::vector<Token> tokens = {1};
    Tensor x({1, 72}), y({1, 72});
    const auto refused = [&](Engine& engine, const char* said) {
        CHECK_THROWS_WITH_AS(engine.gather(*model->embedding, tokens, x.view()), said, Error);
        CHECK_THROWS_WITH_AS(
            engine.linear(*model->layers[0].out.weight, nullptr, x.view(), y.view()), said,
            Error);
    };
    Calibration seen;
    const auto recording = make_recording_engine(make_cpu_engine(), seen);
    const auto recorded = load_model(*weights, *recording);
    CHECK_NOTHROW(recording->gather(*recorded->embedding, tokens, x.view()));
    refused(*recording, "recording engine: this matrix belongs to another engine");

    const auto int8 = make_int8_engine({});
    const auto bytewise = load_model(*weights, *int8);
    CHECK_NOTHROW(int8->gather(*bytewise->embedding, tokens, x.view()));
    refused(*int8, "int8 engine: this matrix belongs to another engine");
    CHECK_THROWS_WITH_AS(int8->gather(*bytewise->layers[0].out.weight, tokens, x.view()),
                         "int8 engine: this matrix is not a table", Error);
    CHECK(int8_counts(*int8).inputs == 0);
    CHECK_THROWS_WITH_AS(int8_counts(*floats),
                         concat("int8 counts: ", floats->name(), " is another engine").c_str(),
                         Error);
}

TEST_CASE("6.7 messages: thresholds, memory and matrices of bytes") {
    const auto make = [](float threshold) { return make_int8_engine({}, {false, threshold}); };
    CHECK_NOTHROW(make(0));
    CHECK_THROWS_WITH_AS(make(-0.5f), "int8 engine: a threshold of -0.5", Error);
    CHECK_THROWS_WITH_AS(make(kInfinite), "int8 engine: a threshold of inf", Error);
    CHECK_THROWS_WITH_AS(
        make_int8_engine(std::make_unique<FarEngine>(make_cpu_engine()), Int8Level::portable),
        "int8 engine: its products run on the CPU", Error);

    ThreadPool pool(1);
    const auto matrix = [&](std::vector<TensorInfo> infos) {
        std::vector<const TensorInfo*> parts;
        for (const TensorInfo& info : infos) parts.push_back(&info);
        return Int8Matrix(parts, pool);
    };
    const Tensor narrow({2, 3}), wide({1, 4}), row({3}), deep({1, 66'000}), deeper({1, 66'001});
    CHECK(matrix({info_of("a", narrow), info_of("b", narrow)}).outputs() == 4);
    CHECK_THROWS_WITH_AS(matrix({}), "int8 matrix: no tensors", Error);
    CHECK_THROWS_WITH_AS(matrix({info_of("a", narrow), info_of("b", wide)}),
                         "b: expected a matrix as deep as its neighbours, found [1, 4]", Error);
    CHECK_THROWS_WITH_AS(matrix({info_of("c", row)}),
                         "c: expected a matrix as deep as its neighbours, found [3]", Error);
    CHECK(matrix({info_of("d", deep)}).depth() == 66'000);
    CHECK_THROWS_WITH_AS(matrix({info_of("d", deeper)}),
                         "d: sums of 66001 products of bytes may not fit into 32 bits; at most "
                         "66000",
                         Error);

    const Int8Kernels& kernels = int8_kernels(Int8Level::portable);
    const Int8Matrix two = matrix({info_of("a", narrow)});
    Int8Rows rows;
    Tensor y({1, 2}), more({1, 3});
    const auto multiply = [&](const Tensor& x, Tensor& to) {
        rows.set(kernels, x.view(), 0, pool);
        rows.multiply(kernels, two, to.view(), pool);
    };
    CHECK_NOTHROW(multiply(Tensor({1, 3}), y));
    for (const Index depth : {2, 4})
        CHECK_THROWS_WITH_AS(
            multiply(Tensor({1, depth}), y),
            concat("int8 product: rows of ", depth, " numbers, a matrix of depth 3").c_str(),
            Error);
    CHECK_THROWS_WITH_AS(multiply(Tensor({1, 3}), more),
                         "int8 product: y: expected shape [1, 2], found [1, 3]", Error);
}

TEST_CASE("6.8 messages: how smooth, and which channel becomes an outlier") {
    const auto weights = make_synthetic(small_config(), 71),
               gpt2 = make_synthetic(small_gpt2(), 71);
    const Calibration seen = calibrate(*weights, {random_tokens(41, 96, 70), 0, 20}),
                      gpt2_seen = calibrate(*gpt2, {random_tokens(41, 90, 70), 0, 20});
    EditedWeights edited(*weights), edited_gpt2(*gpt2);
    const auto alpha = [&](double value) { smooth(edited, seen, {value, false, false}); };
    CHECK_NOTHROW(alpha(0));
    CHECK_NOTHROW(alpha(1));
    CHECK_THROWS_WITH_AS(alpha(-0.5), "smooth: alpha -0.5 is outside of 0 to 1", Error);
    CHECK_THROWS_WITH_AS(alpha(1.5), "smooth: alpha 1.5 is outside of 0 to 1", Error);
    CHECK_NOTHROW(smooth(edited, seen, {0.5, false, true}));
    CHECK_NOTHROW(smooth(edited_gpt2, gpt2_seen, {0.5, false, false}));
    CHECK_THROWS_WITH_AS(smooth(edited_gpt2, gpt2_seen, {0.5, false, true}),
                         "smooth: gpt2's hidden channels pass a curve; a scale does not",
                         Error);

    CHECK_NOTHROW(inject_outlier(edited, 0, 2));
    CHECK_NOTHROW(inject_outlier(edited, 71, 0.5f));
    CHECK_THROWS_WITH_AS(inject_outlier(edited, -1, 2),
                         "outlier: channel -1 is outside of a width of 72", Error);
    CHECK_THROWS_WITH_AS(inject_outlier(edited, 72, 2),
                         "outlier: channel 72 is outside of a width of 72", Error);
    CHECK_THROWS_WITH_AS(inject_outlier(edited, 0, 0), "outlier: a factor of 0", Error);
    CHECK_THROWS_WITH_AS(inject_outlier(edited, 0, -2), "outlier: a factor of -2", Error);
    CHECK_THROWS_WITH_AS(inject_outlier(edited, 0, kInfinite), "outlier: a factor of inf",
                         Error);
}

TEST_CASE("6.9 messages: factors and triangles of numbers that are no matrix") {
    const std::vector<double> none, one = {1}, four = {1, 0, 0, 1};
    CHECK(left_svd(one, 1, 1).values == one);

    struct Size {
        Index rows, columns;
    };

    const auto svd = [](const std::vector<double>& a, Size size, const char* said) {
        CHECK_THROWS_WITH_AS(left_svd(a, size.rows, size.columns), said, Error);
    };
    svd(four, {1, 3}, "svd: 4 numbers are not [1, 3]");
    svd(four, {1, 5}, "svd: 4 numbers are not [1, 5]");
    svd(none, {0, 2}, "svd: 0 numbers are not [0, 2]");
    svd(none, {2, 0}, "svd: 0 numbers are not [2, 0]");
    svd(one, {-1, -1}, "svd: 1 numbers are not [-1, -1]");

    CHECK(cholesky(one, 1, 0) == one);
    const auto triangle = [](const std::vector<double>& a, Index n, const char* said) {
        CHECK_THROWS_WITH_AS(cholesky(a, n, 0), said, Error);
    };
    triangle(four, 1, "cholesky: 4 numbers are not [1, 1]");
    triangle(four, 3, "cholesky: 4 numbers are not [3, 3]");
    triangle(none, 0, "cholesky: 0 numbers are not [0, 0]");
    triangle(four, -2, "cholesky: 4 numbers are not [-2, -2]");
    triangle({0}, 1, "cholesky: the matrix is not positive definite at row 0");
    triangle({1, 1, 1, 1}, 2, "cholesky: the matrix is not positive definite at row 1");
}

TEST_CASE("6.9 messages: bases and ranks of a model's keys and values") {
    const Config config = small_config();
    const auto weights = make_synthetic(config, 80), gpt2 = make_synthetic(small_gpt2(), 1);
    const TextWindows text(random_tokens(101, config.vocab, 81), 0, 50);
    const Calibration with = calibrate(*weights, text, low_rank_calibration()),
                      without = calibrate(*weights, text);
    CHECK_NOTHROW(find_bases(*weights, &with));
    CHECK_THROWS_WITH_AS(find_bases(*weights, &without),
                         "low rank: the calibration has no gram of blk.0.attn_k.weight", Error);
    CHECK_THROWS_WITH_AS(find_bases(*gpt2),
                         "synthetic gpt2 seed 1: low rank: gpt2's keys have a bias, which lies "
                         "in no direction of the matrix",
                         Error);

    const Basis basis{1, {1}, {1}, 1};
    const std::vector<double> gram = {1, 0, 0, 1};
    CHECK(output_errors(basis, Tensor({1, 2}), gram).size() == 2);
    const char* const other = "low rank: an error of another matrix";
    CHECK_THROWS_WITH_AS(output_errors(basis, Tensor({2, 2}), gram), other, Error);
    CHECK_THROWS_WITH_AS(output_errors(basis, Tensor({1, 1}), gram), other, Error);
    CHECK_THROWS_WITH_AS(output_errors(basis, Tensor({1, 3}), gram), other, Error);

    const Bases bases{{basis, basis}, {basis, basis}};
    CHECK(progressive_ranks(bases, 1, 1) == std::vector<Index>{1, 1});
    CHECK_THROWS_WITH_AS(progressive_ranks({}, 1, 1),
                         "low rank: bases of the keys of 0 layers and of the values of 0",
                         Error);
    CHECK_THROWS_WITH_AS(progressive_ranks({{basis, basis}, {basis}}, 1, 1),
                         "low rank: bases of the keys of 2 layers and of the values of 1",
                         Error);
    CHECK_THROWS_WITH_AS(progressive_ranks(bases, 0, 1), "low rank: ranks from 0 to 1", Error);
    CHECK_THROWS_WITH_AS(progressive_ranks(bases, 2, 1), "low rank: ranks from 2 to 1", Error);
}

TEST_CASE("6.9 messages: plans, caches and slots of latents") {
    Config config = small_config();
    config.context = 20;
    const auto weights = make_synthetic(config, 80), gpt2 = make_synthetic(small_gpt2(), 1);
    const auto engine = make_cpu_engine();
    const std::shared_ptr<const Model> model = load_model(*weights, *engine),
                                       gpt2_model = load_model(*gpt2, *engine);
    const Bases bases = find_bases(*weights);
    const LatentRanks ranks{{3, 4}, {5, 6}};
    const auto plan = [&](const Bases& by, const LatentRanks& of) {
        return std::make_shared<const LatentPlan>(model, by, of, LatentFormat::f32);
    };
    CHECK(plan(bases, ranks)->layers.size() == 2);
    CHECK_THROWS_WITH_AS(LatentPlan(gpt2_model, bases, ranks, LatentFormat::f32),
                         "latents: expected a model with RoPE, found gpt2", Error);
    const char* const layers = "latents: bases or ranks of another number of layers than 2";
    CHECK_THROWS_WITH_AS(plan({{bases.keys[0]}, bases.values}, ranks), layers, Error);
    CHECK_THROWS_WITH_AS(plan({bases.keys, {bases.values[0]}}, ranks), layers, Error);
    CHECK_THROWS_WITH_AS(plan(bases, {{3}, {5, 6}}), layers, Error);
    CHECK_THROWS_WITH_AS(plan(bases, {{3, 4}, {5, 6, 7}}), layers, Error);
    Bases other = bases;
    other.values[1].size = 31;
    CHECK_THROWS_WITH_AS(plan(other, ranks),
                         "latents: bases of 32 and 31 numbers for keys of 32", Error);
    other.keys[0].size = 33;
    CHECK_THROWS_WITH_AS(plan(other, ranks),
                         "latents: bases of 33 and 32 numbers for keys of 32", Error);

    const auto cache = [&](Index capacity) {
        return make_latent_cache(plan(bases, ranks), capacity);
    };
    CHECK(cache(1)->room() == 1);
    CHECK(cache(20)->room() == 20);
    CHECK_THROWS_WITH_AS(cache(0), "latents: a capacity of 0; the model's context is 20",
                         Error);
    CHECK_THROWS_WITH_AS(cache(21), "latents: a capacity of 21; the model's context is 20",
                         Error);
    CHECK_THROWS_WITH_AS(make_latent_cache(nullptr, 20), "latents: no plan", Error);

    Latents latents(3, 2, true, LatentFormat::f32);  // a tile of 64
    const float row[] = {1, 2};
    CHECK_NOTHROW(latents.write(63, row));
    CHECK_THROWS_WITH_AS(latents.write(64, row), "latents: there is no slot 64 of 64", Error);
    CHECK_THROWS_WITH_AS(latents.write(-1, row), "latents: there is no slot -1 of 64", Error);
}

TEST_SUITE_END();

}  // namespace kvlab::test
