// Chapter 2's task 2.6: the protocol of a step, in turn and out of turn.
#include <kvlab/attention/stepped_store.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include "task_case.hpp"

using namespace kvlab;
using namespace kvlab::course;

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

    // What it heard since the last call of this function, and what its counters said then.
    std::string take_heard() {
        const std::string heard = std::exchange(heard_, "");
        return heard.empty() ? "nothing" : heard;
    }

private:
    void hear(const std::string& what) {
        heard_ += concat(heard_.empty() ? "" : ", ", what, " (length ", length(), ", pending ",
                         pending(), ", appended ", appended(), ")");
    }

    void maybe_refuse() {
        if (std::exchange(refuse_, false)) throw Error("notebook: refused");
    }

    void opened(Index T) override {
        maybe_refuse();
        hear(concat("opened(", T, ")"));
    }

    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>&) override {
        maybe_refuse();
        hear(concat("write_rows(", layer, ", rows of call ", static_cast<Index>(k(0, 0, 0)),
                    ")"));
    }

    AttentionWork attend_rows(Index,
                              const View<const float>&,
                              const View<float>&,
                              ThreadPool&) override {
        maybe_refuse();
        return {};
    }

    void closed() override {
        maybe_refuse();
        hear("closed()");
    }

    void check_truncate(Index to) const override {
        check(to != 1, "notebook: never back to one token");
    }

    void dropped(Index to) noexcept override { hear(concat("dropped(", to, ")")); }

    std::unique_ptr<SteppedStore> copied() const override {
        return std::make_unique<Notebook>(shape(), capacity(), most_, remembers_);
    }

    Index most_;
    bool remembers_, refuse_ = false;
    std::string heard_;
};

constexpr const char* kCalls[][2] = {{"begin(", ")"},
                                     {"append(", ")"},
                                     {"attend(", ")"},
                                     {"commit()", nullptr},
                                     {"abandon()", nullptr},
                                     {"truncate(", ")"},
                                     {"(what the store does next throws)", nullptr},
                                     {"append(", ") with another shape of k"},
                                     {"append(", ") with another shape of v"}};

// "call 3, append(0)"
std::string name_of(Index number, Index what, Index argument) {
    const auto [before, after] = at(std::span(kCalls), what);
    return after == nullptr ? concat("call ", number, ", ", before)
                            : concat("call ", number, ", ", before, argument, after);
}

}  // namespace

// `calls` holds two numbers for each call: which, and its argument.
KVLAB_TASK_CASE("2.6 step: calls in the right order count and all others are refused") {
    const KvShape shape{given.number("L"), 1, 1, 1};
    Notebook store(shape, given.number("capacity"), given.number("most"),
                   given.number("remembers") != 0);
    ThreadPool pool(1);
    const std::vector<Index> calls = given.integers("calls");
    Index T = 1, written = 0;  // of the last begin(); rows carry a number of their own
    for (std::size_t i = 0; i < calls.size(); i += 2) {
        const Index argument = calls[i + 1];
        Tensor rows({T, 1, 1}), out({T, 1, 1});
        const Tensor other({T, 1, 2});
        rows(0, 0, 0) = static_cast<float>(++written);
        const auto call = [&] {
            switch (calls[i]) {
                case 0:
                    store.begin(argument);
                    T = std::max<Index>(1, argument);  // one of none is a mistake, told below
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
                case 7:
                    store.append(argument, other.view(), std::as_const(rows).view());
                    break;
                case 8:
                    store.append(argument, std::as_const(rows).view(), other.view());
                    break;
                default:
                    store.refuse();
            }
        };
        const char* result = "done";
        try {
            call();
        } catch (const NotImplemented&) {
            throw;
        } catch (const Error&) {
            result = "refused";
        }
        answer.text(name_of(static_cast<Index>(i / 2), calls[i], argument).c_str(),
                    concat(result, "; position ", store.next_position(), ", room ",
                           store.room(), "; the store heard: ", store.take_heard()));
    }
}
