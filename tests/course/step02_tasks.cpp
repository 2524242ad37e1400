// Chapter 2's tasks: attention, what a query sees, the feed-forward part, how many weights
// there are, the loop that writes a text, the protocol of a step, and bits per byte.
#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/plain_decoder.hpp>
#include <kvlab/attention/score.hpp>
#include <kvlab/attention/stepped_store.hpp>

#include "list_store.hpp"
#include "task_model.hpp"

using namespace kvlab;
using namespace kvlab::course;

namespace {

// The keys and values come as one array [S, 2, D], so that rows lie apart as in a cache.
void answer_attention(const Given& given, Answer& answer) {
    const Tensor q = given.tensor("q"), rows = given.tensor("rows");
    Tensor out({q.dim(0)});
    const Index S = rows.dim(0), D = rows.dim(2);
    const View<const float> k(rows.data(), {S, D}, {2 * D, 1, 0, 0}),
        v(rows.data() + D, {S, D}, {2 * D, 1, 0, 0});
    attention_plain(q.view(), k, v, out.view());
    answer.floats("out", std::as_const(out).view());
}

}  // namespace

KVLAB_TASK_CASE("2.1 attention: the weighted mean of the values") {
    answer_attention(given, answer);
}

KVLAB_TASK_CASE("2.1 attention: sums and the division come in the contract's order") {
    answer_attention(given, answer);
}

KVLAB_TASK_CASE("2.2 visible rows: the KV head of the group and the tokens so far") {
    const Tensor rows = given.tensor("rows");
    const Index D = given.number("D"), group = given.number("group");
    const std::vector<Index> heads = given.integers("heads"), tokens = given.integers("tokens");
    for (std::size_t i = 0; i < heads.size(); ++i)
        answer.floats(concat("head ", heads[i], " of token ", tokens[i]).c_str(),
                      visible_rows(rows.view(), D, group, heads[i], tokens[i]));
}

KVLAB_TASK_CASE("2.3 swiglu: the gate decides what gets through") {
    const Tensor y = swiglu_plain(given.tensor("x").view(), given.tensor("gate"),
                                  given.tensor("up"), given.tensor("down"));
    answer.floats("y", y.view());
}

KVLAB_TASK_CASE("2.4 parameters: every number of every tensor") {
    Config config = config_of(given);
    config.architecture =
        given.text("architecture") == "gpt2" ? Architecture::gpt2 : Architecture::llama;
    config.tied_output = given.number("tied") != 0;
    answer.number("parameters", config.parameters());
}

namespace {

// How many rows each step of a decoder has.
class RowsPerStep final : public Observer {
public:
    void on(Op op, Index, const View<const float>& rows, std::span<const Index>) override {
        if (op == Op::embedding) sizes.push_back(rows.dim(0));
    }

    std::vector<Index> sizes;
};

}  // namespace

// `lengths`, `steps` and `capacities` have a number for each sequence.
KVLAB_TASK_CASE("2.5 generator: what is fed, what is kept, and when it ends") {
    TaskModel tiny(given);
    const std::vector<Token> prompts = tokens_of(given, "prompts");
    const std::vector<Index> lengths = given.integers("lengths"),
                             steps = given.integers("steps"),
                             capacities = given.integers("capacities");
    const bool remembers = given.number("remembers") != 0;
    std::vector<std::unique_ptr<ListStore>> stores;
    std::vector<Index> told;  // which sequence got a token, in order
    RowsPerStep rows;
    Generator generator(tiny.decoder);
    auto next = prompts.begin();
    for (std::size_t s = 0; s < lengths.size(); ++s) {
        stores.push_back(
            std::make_unique<ListStore>(tiny.decoder.kv_shape(), capacities[s], remembers));
        generator.add(*stores[s], {next, next + lengths[s]}, steps[s]);
        next += lengths[s];
    }
    if (given.number("end token") >= 0)
        generator.set_is_end([&](Token token) { return token == given.number("end token"); });
    generator.set_on_token(
        [&](Index sequence, Token, const View<const float>&) { told.push_back(sequence); });
    {
        const Observing watched(tiny.decoder, rows);
        // A loop that never ends would end here.
        for (int i = 0; i < 100 && generator.step(); ++i) continue;
    }
    for (Index s = 0; s < generator.sequences(); ++s) {
        const auto tokens = generator.tokens(s);
        const std::string of = concat(" of sequence ", s);
        answer.integers(("tokens" + of).c_str(),
                        std::vector<Index>(tokens.begin(), tokens.end()));
        answer.text(("end" + of).c_str(), finish_name(generator.finish(s)));
    }
    answer.integers("rows of each step", rows.sizes);
    answer.integers("tokens told to", told);
}

namespace {

// Writes down what it was asked to do. It keeps at most `most` tokens, as a store that forgets
// would; and what it does next fails once refuse() was called.
class Notebook final : public SteppedStore {
public:
    Notebook(const KvShape& shape, Index capacity, Index most, bool remembers)
        : SteppedStore("notebook", shape, capacity), most_(most), remembers_(remembers) {}

    Index room() const override { return capacity() - std::min(length(), most_); }

    bool remembers() const override { return remembers_; }

    KvBytes bytes() const override { return {}; }

    void refuse() { refuse_ = true; }

    std::vector<Index> notes;  // what, and at which length, two numbers each

private:
    void note(Index what, Index number) noexcept {
        notes.push_back(what);
        notes.push_back(number);
    }

    void maybe_refuse() {
        if (std::exchange(refuse_, false)) throw Error("notebook: refused");
    }

    void opened(Index T) override {
        maybe_refuse();
        note(0, T);
    }

    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>&) override {
        maybe_refuse();
        note(1 + layer, static_cast<Index>(k(0, 0, 0)));
    }

    AttentionWork attend_rows(Index,
                              const View<const float>&,
                              const View<float>&,
                              ThreadPool&) override {
        return {};
    }

    void closed() override { note(100, length()); }

    void check_truncate(Index to) const override {
        check(to != 1, "notebook: never back to one token");
    }

    void dropped(Index to) noexcept override { note(200, to); }

    std::unique_ptr<SteppedStore> copied() const override {
        return std::make_unique<Notebook>(shape(), capacity(), most_, remembers_);
    }

    Index most_;
    bool remembers_, refuse_ = false;
};

}  // namespace

// `calls` holds two numbers for each call: which, and its argument.
KVLAB_TASK_CASE("2.6 step: calls in the right order count and all others are refused") {
    const KvShape shape{given.number("L"), 1, 1, 1};
    Notebook store(shape, given.number("capacity"), given.number("most"),
                   given.number("remembers") != 0);
    ThreadPool pool(1);
    const std::vector<Index> calls = given.integers("calls");
    Index T = 1, written = 0;  // of the last begin(); rows carry a number of their own
    std::vector<Index> refused, positions, rooms;
    for (std::size_t i = 0; i < calls.size(); i += 2) {
        const Index argument = calls[i + 1];
        Tensor rows({T, 1, 1}), out({T, 1, 1});
        rows(0, 0, 0) = static_cast<float>(++written);
        const auto call = [&] {
            switch (calls[i]) {
                case 0:
                    store.begin(argument);
                    T = argument;
                    break;
                case 1:
                    store.append(argument, std::as_const(rows).view(),
                                 std::as_const(rows).view());
                    break;
                case 2:
                    store.attend(argument, std::as_const(rows).view(), out.view(), pool);
                    break;
                case 3:
                    store.commit();
                    break;
                case 4:
                    store.abandon();
                    break;
                case 5:
                    store.truncate(argument);
                    break;
                default:
                    store.refuse();
            }
        };
        refused.push_back(0);
        try {
            call();
        } catch (const NotImplemented&) {
            throw;
        } catch (const Error&) {
            refused.back() = 1;
        }
        positions.push_back(store.next_position());
        rooms.push_back(store.room());
    }
    answer.integers("refused", refused);
    answer.integers("next position", positions);
    answer.integers("room", rooms);
    answer.integers("notes", store.notes);
}

KVLAB_TASK_CASE("2.7 bits: the surprise of a token is minus the logarithm of its share") {
    const std::vector<float> logits = given.floats("logits");
    std::vector<float> bits;
    for (Index token = 0; token < std::ssize(logits); ++token)
        bits.push_back(static_cast<float>(surprise_bits(logits, static_cast<Token>(token))));
    const auto sum = static_cast<float>(log_sum_exp(logits));
    answer.floats("bits", bits);
    answer.floats("log of the sum", std::span(&sum, 1));
}

KVLAB_TASK_CASE("2.7 bits: the mean over all windows of a text") {
    TaskModel tiny(given);
    const std::vector<Token> text = tokens_of(given, "text");
    const MakeStore make_store = [&](Index capacity) {
        return std::make_unique<ListStore>(tiny.decoder.kv_shape(), capacity, true);
    };
    const BitsPerByte result = bits_per_byte(
        tiny.decoder, make_store, std::vector<std::uint8_t>(text.begin(), text.end()),
        static_cast<Token>(given.number("bos")), given.number("window"), given.number("most"));
    const auto bits = static_cast<float>(result.bits);
    answer.floats("bits per byte", std::span(&bits, 1));
    answer.number("bytes", result.bytes);
    answer.number("windows", result.windows);
}
