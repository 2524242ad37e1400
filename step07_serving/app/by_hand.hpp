// by_hand.hpp - chapter 7: what the worked examples share: pages of four tokens that nobody
// writes, a model that only counts, and letters for tokens.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <kvlab/serving/scheduler.hpp>

namespace kvlab::app {

// Small enough to be drawn: one layer, one head, four tokens in a page.
constexpr KvShape kPaperShape{.layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 2};
constexpr Index kPaperSlots = 4;

PagePool paper_pool(Index pages);

// A token for each letter, and back.
std::vector<Token> letters(const std::string& text);
std::string in_letters(std::span<const Token> tokens);

// The numbers of pages, as "0 1 3".
std::string listed(std::span<const PageId> pages);

// A model without logits: every token that it writes is token 0, and each step takes a second.
class CountedSteps final : public StepModel {
public:
    explicit CountedSteps(Index context) : context_(context) {}

    std::unique_ptr<PagedCache> make_cache(PagePool& pool) override;

    Index context() const override { return context_; }

    View<const float> run(std::span<const StepPart> parts) override;

    double now() const override { return seconds_; }

    void wait_until(double seconds) override { seconds_ = seconds; }

private:
    Index context_;
    double seconds_ = 0;
};

// The examples of by_hand_steps.cpp.
void show_batching();
void show_chunks();
void show_preemption();

}  // namespace kvlab::app
