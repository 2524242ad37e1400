// Chapter 4's tasks: an index and a tail, a tile in shared memory, a sum of many threads, a
// tree, a maximum that grows, parts that are combined.
//
// Each kernel runs three times: checked, with threads in order and shuffled, and raw. What the
// executor reports is part of the answer, and so is what it counts.
#include <algorithm>
#include <regex>

#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/ladders.hpp>
#include <kvlab/cuda/simt.hpp>

#include "task_case.hpp"

using namespace kvlab;
using course::Answer;
using course::Given;

namespace {

// Rows [R, n] in device memory, `gap` floats apart. The gaps are never written, so that a
// kernel which reads one is reported.
class DeviceRows {
public:
    DeviceRows(Index R, Index n, Index gap)
        : R_(R), n_(n), stride_(n + gap), floats_(R * stride_, "rows") {}

    DeviceRows(const Tensor& values, Index n, Index gap)
        : DeviceRows(values.size() / n, n, gap) {
        for (Index r = 0; r < R_; ++r)
            copy_bytes_to_device(floats_.get() + r * stride_, values.flat().data() + r * n,
                                 n * Index{sizeof(float)});
    }

    View<float> view() const { return {floats_.get(), {R_, n_}, {stride_, 1, 0, 0}}; }

    View<float> heads(Index heads) const {
        return {floats_.get(), {R_, heads, n_ / heads}, {stride_, n_ / heads, 1, 0}};
    }

    std::vector<float> values() const {
        std::vector<float> rows(usize(R_ * n_));
        for (Index r = 0; r < R_; ++r)
            copy_bytes_to_host(rows.data() + r * n_, floats_.get() + r * stride_,
                               n_ * Index{sizeof(float)});
        return rows;
    }

private:
    Index R_, n_, stride_;
    DeviceArray<float> floats_;
};

// The report without addresses, which are others in each run.
std::string words_of(const simt::Fault& fault) {
    static const std::regex address(", address 0x[0-9a-f]+|0x[0-9a-f]+");
    return std::regex_replace(fault.what(), address, "");
}

// What the launches of `run` count, by the kernel's name: of the first launch of that kernel.
simt::Counters counted(const std::vector<simt::LaunchRecord>& records,
                       const std::string& kernel) {
    const auto found = std::find_if(records.begin(), records.end(), [&](const auto& record) {
        return record.kernel == kernel;
    });
    check(found != records.end(), "kernel '", kernel, "' was not launched");
    return found->counters;
}

template <class Run>
auto run_with(simt::Mode mode,
              simt::Order order,
              std::vector<simt::LaunchRecord>* records,
              const Run& run) {
    simt::Options options;
    options.mode = mode;
    options.order = order;
    options.seed = 7;
    options.records = records;
    const simt::Use use(options);
    return run();
}

// Asks `run` for its numbers in three ways; `keep` puts them into the answer, under the name
// that it is given. A kernel with a fault has no numbers, and does not run unchecked.
template <class Run, class Keep>
void answer_three_times(Answer& answer, const Run& run, const Keep& keep) {
    answer.text("report", "nothing to report");
    try {
        const auto in_order = run_with(simt::Mode::checked, simt::Order::forward, nullptr, run);
        const auto shuffled =
            run_with(simt::Mode::checked, simt::Order::shuffled, nullptr, run);
        keep("result", in_order);
        keep("threads shuffled", shuffled);
    } catch (const simt::Fault& fault) {
        answer.text("report", words_of(fault));
        return;
    }
    keep("raw launch", run_with(simt::Mode::raw, simt::Order::shuffled, nullptr, run));
}

// The numbers of one checked run, and what it costs: `kernel` is the one that is looked at.
template <class Run, class Keep>
void answer_traffic(Answer& answer, const char* kernel, const Run& run, const Keep& keep) {
    std::vector<simt::LaunchRecord> records;
    answer.text("report", "nothing to report");
    try {
        keep("result", run_with(simt::Mode::checked, simt::Order::forward, &records, run));
    } catch (const simt::Fault& fault) {
        answer.text("report", words_of(fault));
        return;
    }
    const simt::Counters c = counted(records, kernel);
    answer.number("sectors loaded", c.loads.sectors);
    answer.number("sectors loaded beyond the least", c.loads.sectors - c.loads.minimal);
    answer.number("sectors stored beyond the least", c.stores.sectors - c.stores.minimal);
    answer.number("bank conflicts of shared loads", c.shared_loads.conflicts());
    answer.number("bank conflicts of shared stores", c.shared_stores.conflicts());
}

// --- 4.1: a cache of one layer takes its tokens in steps ------------------------------------

struct Appended {
    std::vector<float> held;  // [2, Hkv, length, D]: keys, then values
    Index beside;             // numbers of slots behind the last token that were written
};

Appended appended(const Given& given) {
    const Tensor k = given.tensor("k"), v = given.tensor("v");  // [tokens, Hkv, D]
    const Index heads = k.shape()[1], D = k.shape()[2], capacity = given.number("capacity");
    const DeviceRows keys(k, heads * D, given.number("gap")),
        values(v, heads * D, given.number("gap"));
    CudaCache cache({1, heads, heads, D}, capacity);
    Index length = 0;
    for (const Index T : given.integers("steps")) {
        cache.begin(T);
        cache.append(0, keys.heads(heads).slice(0, length, length + T),
                     values.heads(heads).slice(0, length, length + T));
        cache.commit();
        length += T;
    }
    Appended result{{}, 0};
    const CudaCache::Memory memory = cache.memory(0);
    for (const float* from : {memory.keys, memory.values}) {
        std::vector<float> all(usize(heads * capacity * D));
        copy_bytes_to_host(all.data(), from, std::ssize(all) * Index{sizeof(float)});
        for (Index i = 0; i < std::ssize(all); ++i) {
            const float x = all[usize(i)];
            if (i / D % capacity < length)
                result.held.push_back(x);
            else if (x == x)  // what nobody has written is NaN
                ++result.beside;
        }
    }
    return result;
}

// --- 4.2, 4.5, 4.6: attention ---------------------------------------------------------------

std::vector<float> attention(const Given& given, const char* rung) {
    const Tensor q = given.tensor("q");                                 // [T, Hq, D], scaled
    const Tensor k = given.tensor("keys"), v = given.tensor("values");  // [Hkv, slots, D]
    const Index T = q.shape()[0], heads = q.shape()[1], D = q.shape()[2];
    const Index kv_heads = k.shape()[0], slots = k.shape()[1],
                capacity = given.number("capacity");
    DeviceArray<float> keys(kv_heads * capacity * D, "keys"),
        values(kv_heads * capacity * D, "values");
    for (Index h = 0; h < kv_heads; ++h) {
        const Index bytes = slots * D * Index{sizeof(float)};
        copy_bytes_to_device(keys.get() + h * capacity * D, k.flat().data() + h * slots * D,
                             bytes);
        copy_bytes_to_device(values.get() + h * capacity * D, v.flat().data() + h * slots * D,
                             bytes);
    }
    const DeviceRows queries(q, heads * D, given.number("gap")),
        out(T, heads * D, given.number("gap"));
    Scratch scratch;
    find_rung(attention_rungs(), rung)
        .run({queries.heads(heads), keys.get(), values.get(), kv_heads, capacity, slots - T,
              out.heads(heads), scratch, static_cast<int>(given.number("block"))});
    return out.values();
}

// --- 4.3 and 4.4 -----------------------------------------------------------------------------

std::vector<float> product(const Given& given) {
    const Tensor w = given.tensor("w"), x = given.tensor("x");  // [N, K], [R, K]
    const DeviceMatrix matrix(PackedMatrix::pack(w.view()), MatrixLayout::panels);
    const DeviceRows in(x, w.shape()[1], given.number("gap")),
        out(x.shape()[0], w.shape()[0], given.number("gap"));
    const std::vector<float> bias = given.floats("bias");  // empty: none
    std::unique_ptr<DeviceArray<float>> device_bias;
    if (!bias.empty()) device_bias = std::make_unique<DeviceArray<float>>(bias, "bias");
    Scratch scratch;
    find_rung(linear_rungs(), "split")
        .run({matrix, bias.empty() ? nullptr : device_bias->get(), in.view(), out.view(),
              scratch, static_cast<int>(given.number("block"))});
    return out.values();
}

Index largest(const Given& given) {
    const DeviceArray<float> values(given.floats("values"), "values");
    return find_rung(argmax_rungs(), "tree")
        .run({values.get(), values.size(), static_cast<int>(given.number("block"))});
}

// --- what becomes of the results
// --------------------------------------------------------------

auto keep_appended(const Given& given, Answer& answer) {
    return [&given, &answer](const std::string& name, const Appended& result) {
        const Shape k = given.tensor("k").shape();
        const Index length = std::ssize(result.held) / (2 * k[1] * k[2]);
        answer.floats(name.c_str(), result.held, {2, k[1], length, k[2]});
        answer.number((name + ": numbers written beside the step").c_str(), result.beside);
    };
}

auto keep_floats(Answer& answer, const Shape& shape) {
    return [&answer, shape](const char* name, const std::vector<float>& values) {
        answer.floats(name, values, shape);
    };
}

auto keep_index(Answer& answer) {
    return [&answer](const char* name, Index index) { answer.number(name, index); };
}

}  // namespace

KVLAB_TASK_CASE("4.1 append: every number of a step comes to its slot") {
    answer_three_times(
        answer, [&] { return appended(given); }, keep_appended(given, answer));
}

KVLAB_TASK_CASE("4.1 append: neighbours read and write neighbours") {
    answer_traffic(
        answer, "append_rows", [&] { return appended(given); }, keep_appended(given, answer));
}

KVLAB_TASK_CASE("4.2 staged keys: the scores are those of the plain loop") {
    answer_three_times(
        answer, [&] { return attention(given, "staged"); },
        keep_floats(answer, given.tensor("q").shape()));
}

KVLAB_TASK_CASE("4.2 staged keys: no sector moves for nothing, and no bank is asked twice") {
    answer_traffic(
        answer, "scores_staged", [&] { return attention(given, "staged"); },
        keep_floats(answer, given.tensor("q").shape()));
}

KVLAB_TASK_CASE("4.3 split product: chains of 64 meet, and are added in order") {
    const Shape y({given.tensor("x").shape()[0], given.tensor("w").shape()[0]});
    answer_three_times(
        answer, [&] { return product(given); }, keep_floats(answer, y));
}

KVLAB_TASK_CASE("4.4 argmax: the lowest index among the largest values") {
    answer_three_times(
        answer, [&] { return largest(given); }, keep_index(answer));
}

KVLAB_TASK_CASE("4.4 argmax: neighbours look at neighbours") {
    answer_traffic(
        answer, "argmax_tree", [&] { return largest(given); }, keep_index(answer));
}

KVLAB_TASK_CASE("4.5 online softmax: the maximum grows from tile to tile") {
    answer_three_times(
        answer, [&] { return attention(given, "fused"); },
        keep_floats(answer, given.tensor("q").shape()));
}

KVLAB_TASK_CASE("4.6 split keys: the parts of the tiles make one answer") {
    answer_three_times(
        answer, [&] { return attention(given, "split"); },
        keep_floats(answer, given.tensor("q").shape()));
}
