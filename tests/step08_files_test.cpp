// Files of mixers that are wrong: each is refused with one line that says where, or runs.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "edited_source.hpp"
#include "mixer_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// What is said when the source is loaded and reads a text; empty if all goes well.
std::string refusal_of(const WeightSource& source) {
    try {
        const auto engine = make_cpu_engine({.threads = 1});
        MixedDecoder decoder(load_mixed_model(source, *engine), *engine);
        const auto store = decoder.make_store();
        const auto logits = decoder.forward(*store, drawn_text(70, 81)).flat();
        CHECK(std::ranges::all_of(logits, [](float x) { return is_finite(x); }));
        return "";
    } catch (const Error& error) {
        return error.what();
    }
}

// Refused with one line in which `where` stands.
void check_refused(const WeightSource& source, const std::string& where) {
    const std::string words = refusal_of(source);
    CAPTURE(where);
    CAPTURE(words);
    CHECK(words.find(where) != std::string::npos);
    CHECK(words.find('\n') == std::string::npos);
}

EditedSource as_it_is(const WeightSource& source, Metadata metadata) {
    return {source, std::move(metadata), [](const std::string&) { return true; }};
}

// f(source) for a drawn model of each mixer.
template <class F>
void for_drawn_sources(F f) {
    for (const MixerEntry& entry : all_mixers()) {
        CAPTURE(entry.name);
        const auto source = drawn_model(two_layers(entry.name)).draw();
        REQUIRE(refusal_of(*source).empty());
        f(*source, entry);
    }
}

std::vector<MetaValue> hostile_values() {
    return {std::uint32_t{0},
            std::int32_t{-1},
            std::numeric_limits<std::uint64_t>::max(),
            std::numeric_limits<std::int64_t>::max(),
            std::numeric_limits<float>::quiet_NaN(),
            std::string("two\nlines"),
            true,
            MetaArray(std::vector<std::int32_t>{}),
            MetaArray(std::vector<std::string>{"gqa"})};
}

}  // namespace

TEST_CASE("files: a mixer's key that is missing is refused by its name") {
    for_drawn_sources([](const WeightSource& source, const MixerEntry& entry) {
        std::vector<std::string> keys = {"kvlab.mixers", "general.architecture"};
        for (const char* key : entry.keys) keys.push_back(concat("kvlab.", key));
        for (const std::string& key : keys) {
            Metadata metadata = source.metadata();
            metadata.erase(key);
            check_refused(as_it_is(source, std::move(metadata)), key);
        }
    });
}

TEST_CASE("files: a key with a value that cannot be is refused") {
    for_drawn_sources([](const WeightSource& source, const MixerEntry& entry) {
        for (const char* key : entry.keys) {
            Index taken = 0;
            for (const MetaValue& value : hostile_values()) {
                Metadata metadata = source.metadata();
                metadata.set(concat("kvlab.", key), value);
                const EditedSource edited = as_it_is(source, std::move(metadata));
                if (refusal_of(edited).empty())
                    ++taken;
                else
                    check_refused(edited, concat("kvlab.", key));
            }
            // No blocks at random are a number like any other.
            CHECK(taken == (std::string(key) == "random_blocks" ? 1 : 0));
        }
    });
}

TEST_CASE("files: any key of the frame with any value is refused or works") {
    const auto source = drawn_model({"mamba", "gqa", "shared"}).draw();
    const Metadata all = source->metadata();
    Index refused = 0;
    for (const Metadata::Entry& entry : all.entries())
        for (const MetaValue& value : hostile_values()) {
            Metadata metadata = all;
            metadata.set(entry.key, value);
            const std::string words = refusal_of(as_it_is(*source, std::move(metadata)));
            CAPTURE(entry.key);
            CAPTURE(words);
            CHECK(words.find('\n') == std::string::npos);
            refused += words.empty() ? 0 : 1;
        }
    CHECK(refused > 8 * std::ssize(all.entries()) / 2);
}

TEST_CASE("files: keys, tensors and mixers that nobody knows are refused") {
    for_drawn_sources([](const WeightSource& source, const MixerEntry&) {
        Metadata more = source.metadata();
        more.set("kvlab.forgetting", std::uint32_t{3});
        check_refused(as_it_is(source, std::move(more)), "'kvlab.forgetting'");
        EditedSource tensor = as_it_is(source, source.metadata());
        tensor.set("blk.1.attn_bias.weight", Tensor({3}));
        check_refused(tensor, "'blk.1.attn_bias.weight'");
        EditedSource layer = as_it_is(source, source.metadata());
        layer.set("blk.2.ffn_norm.weight", Tensor({32}));
        check_refused(layer, "'blk.2.ffn_norm.weight'");
        Metadata other = source.metadata();
        other.set("kvlab.mixers", MetaArray(std::vector<std::string>{"gqa", "sum\nmixer"}));
        check_refused(as_it_is(source, std::move(other)), "there is no mixer");
        Metadata few = source.metadata();
        few.set("kvlab.mixers", MetaArray(std::vector<std::string>{"gqa"}));
        check_refused(as_it_is(source, std::move(few)), "kvlab.mixers");
    });
}

TEST_CASE("files: a tensor that is missing or has another shape is refused by its name") {
    for_drawn_sources([](const WeightSource& source, const MixerEntry&) {
        for (const TensorInfo& info : source.tensors()) {
            if (info.name == "output.weight") continue;  // tied to the embedding without it
            const EditedSource without(
                source, source.metadata(),
                [&](const std::string& tensor) { return tensor != info.name; });
            check_refused(without, info.name);
            if (info.name == "token_embd.weight") continue;  // its rows are the vocabulary
            std::vector<Shape> shapes = {{info.shape[0] + 1}, {1, info.shape.size()}};
            if (info.shape.rank() == 2) {
                shapes.push_back({info.shape[0] + 1, info.shape[1]});
                shapes.push_back({info.shape[0], info.shape[1] - 1});
                if (info.shape[0] != info.shape[1])
                    shapes.push_back({info.shape[1], info.shape[0]});
            }
            for (const Shape& shape : shapes) {
                if (shape == info.shape) continue;
                CAPTURE(shape.size());
                EditedSource edited = as_it_is(source, source.metadata());
                edited.set(info.name, Tensor(shape));
                check_refused(edited, info.name);
            }
        }
    });
}

TEST_CASE("files: numbers that no model has are reported or do no harm") {
    Index reported = 0;
    for_drawn_sources([&](const WeightSource& source, const MixerEntry&) {
        for (const TensorInfo& info : source.tensors()) {
            if (!info.name.starts_with("blk.1.")) continue;
            for (const float value :
                 {std::numeric_limits<float>::quiet_NaN(), 1e30f, 100.0f, -100.0f, 0.0f}) {
                EditedSource edited = as_it_is(source, source.metadata());
                Tensor values(info.shape);
                std::ranges::fill(values.flat(), value);
                edited.set(info.name, std::move(values));
                const std::string words = refusal_of(edited);
                CAPTURE(info.name);
                CAPTURE(value);
                CAPTURE(words);
                CHECK((words.empty() || words.find("not finite") != std::string::npos));
                reported += words.empty() ? 0 : 1;
            }
        }
    });
    CHECK(reported > 100);
}
