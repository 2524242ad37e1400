// Chapter 2's tasks: attention, what a query sees, the feed-forward part, how many weights
// there are, the loop that writes a text, and bits per byte.
#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/plain_decoder.hpp>
#include <kvlab/attention/score.hpp>

#include "list_store.hpp"
#include "task_model.hpp"

using namespace kvlab;
using namespace kvlab::course;

namespace {

// Numbers that lie `stride` apart, with something else between them.
std::vector<float> spread(std::span<const float> numbers, Index stride) {
    std::vector<float> apart(numbers.size() * usize(stride), 1e3f);
    for (std::size_t i = 0; i < numbers.size(); ++i) apart[i * usize(stride)] = numbers[i];
    return apart;
}

// The keys and values come as one array [S, 2, D], so that rows lie apart as in a cache.
void answer_attention(const Given& given, Answer& answer) {
    const Tensor q = given.tensor("q"), rows = given.tensor("rows");
    Tensor out({q.dim(0)});
    const Index S = rows.dim(0), D = rows.dim(2), q_stride = given.number("q_stride"),
                stride = given.number("stride");
    const std::vector<float> q_apart = spread(q.flat(), q_stride),
                             rows_apart = spread(rows.flat(), stride);
    const View<const float> one(q_apart.data(), {D}, {q_stride, 0, 0, 0}),
        k(rows_apart.data(), {S, D}, {2 * D * stride, stride, 0, 0}),
        v(rows_apart.data() + D * stride, {S, D}, {2 * D * stride, stride, 0, 0});
    attention_plain(one, k, v, out.view());
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
    const Index D = given.number("D"), group = given.number("group"), T = rows.dim(0),
                width = rows.dim(1), stride = given.number("stride"),
                whole = width + given.number("wider");
    // The rows are a part of wider ones, whose numbers may lie apart.
    std::vector<float> memory(usize(T * whole * stride), 1e3f);
    for (Index t = 0; t < T; ++t)
        for (Index i = 0; i < width; ++i)
            memory[usize((t * whole + i) * stride)] = std::as_const(rows)(t, i);
    const View<const float> view(memory.data(), {T, width}, {whole * stride, stride, 0, 0});
    const std::vector<Index> heads = given.integers("heads"), tokens = given.integers("tokens");
    for (std::size_t i = 0; i < heads.size(); ++i)
        answer.floats(concat("head ", heads[i], " of token ", tokens[i]).c_str(),
                      visible_rows(view, D, group, heads[i], tokens[i]));
}

namespace {

void answer_swiglu(const Given& given, Answer& answer) {
    const Tensor y = swiglu_plain(given.tensor("x").view(), given.tensor("gate"),
                                  given.tensor("up"), given.tensor("down"));
    answer.floats("y", y.view());
}

}  // namespace

KVLAB_TASK_CASE("2.3 swiglu: the gate decides what gets through") {
    answer_swiglu(given, answer);
}

KVLAB_TASK_CASE(
    "2.3 swiglu: sums and products are rounded as the chapter's plain loops do it") {
    answer_swiglu(given, answer);
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

// `lengths`, `steps`, `capacities` and `seen` have a number for each sequence.
KVLAB_TASK_CASE("2.5 generator: what is fed, what is kept, and when it ends") {
    TaskModel tiny(given);
    const std::vector<Token> prompts = tokens_of(given, "prompts");
    const std::vector<Index> lengths = given.integers("lengths"),
                             steps = given.integers("steps"),
                             capacities = given.integers("capacities"),
                             seen = given.integers("seen");
    const bool remembers = given.number("remembers") != 0;
    const KeyForm keys = given.number("unrotated") != 0 ? KeyForm::unrotated : KeyForm::rotated;
    std::vector<std::unique_ptr<ListStore>> stores;
    std::vector<Index> told;     // which sequence got a token, in order
    std::vector<Index> running;  // how many, after each step
    RowsPerStep rows;
    Generator generator(tiny.decoder);
    auto next = prompts.begin();
    for (std::size_t s = 0; s < lengths.size(); ++s) {
        stores.push_back(std::make_unique<ListStore>(tiny.decoder.kv_shape(), capacities[s],
                                                     remembers, keys));
        const std::vector<Token> prompt(next, next + lengths[s]);
        if (seen[s] > 0)
            tiny.decoder.forward(*stores[s], std::span(prompt).first(usize(seen[s])));
        generator.add(*stores[s], prompt, steps[s]);
        next += lengths[s];
    }
    if (given.number("end token") >= 0)
        generator.set_is_end([&](Token token) { return token == given.number("end token"); });
    generator.set_on_token(
        [&](Index sequence, Token, const View<const float>&) { told.push_back(sequence); });
    {
        const Observing watched(tiny.decoder, rows);
        // A loop that never ends would end here.
        for (int i = 0; i < 100 && generator.step(); ++i) {
            running.push_back(0);
            for (Index s = 0; s < generator.sequences(); ++s)
                running.back() += generator.finish(s) == Finish::running ? 1 : 0;
        }
    }
    answer.number("calls of step() that took tokens", std::ssize(running));
    answer.integers("sequences running after each step", running);
    for (Index s = 0; s < generator.sequences(); ++s) {
        const auto tokens = generator.tokens(s);
        const std::string of = concat(" of sequence ", s);
        answer.integers(("tokens" + of).c_str(),
                        std::vector<Index>(tokens.begin(), tokens.end()));
        answer.number(("length" + of).c_str(), std::ssize(tokens));
        answer.text(("end" + of).c_str(), finish_name(generator.finish(s)));
    }
    answer.integers("rows of each step", rows.sizes);
    answer.integers("tokens told to", told);
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
        return std::make_unique<ListStore>(tiny.decoder.kv_shape(), capacity,
                                           given.number("remembers") != 0);
    };
    const BitsPerByte result = bits_per_byte(
        tiny.decoder, make_store, std::vector<std::uint8_t>(text.begin(), text.end()),
        static_cast<Token>(given.number("bos")), given.number("window"), given.number("most"));
    const auto bits = static_cast<float>(result.bits);
    answer.floats("bits per byte", std::span(&bits, 1));
    answer.number("bytes", result.bytes);
    answer.number("windows", result.windows);
}
