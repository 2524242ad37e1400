// served.hpp - chapter 7: one random schedule, served, and compared with every request alone.
#pragma once

#include <memory>
#include <vector>

#include <kvlab/serving/alone.hpp>
#include "random_schedule.hpp"

namespace kvlab {

class Served {
public:
    // All must outlive it. What it finds is added to `report`.
    Served(Decoder& decoder,
           StepModel& steps,
           const RandomSchedule& schedule,
           std::shared_ptr<const Model> small_model,
           Rng random,
           Index number,
           LawReport& report);

    void run();

private:
    std::unique_ptr<Drafter> make_drafter(std::shared_ptr<const Model> small_model);
    Index most_steps() const;
    void add_those_who_come();
    void cancel_somebody();
    void compare(Index request, Token token, std::span<const float> logits);
    void count(const StepEvent& event);
    void count_step();
    void count_overtaken(Index request);
    void compare_ends();
    void check_pages();
    void differs(Index request, Index token, const std::string& what);

    Decoder& decoder_;
    const RandomSchedule& schedule_;
    Rng random_;
    Index number_;
    LawReport& report_;

    std::vector<Alone> alone_;                 // of each request
    std::vector<std::vector<Token>> futures_;  // its prompt and what it writes alone
    std::vector<bool> cancelled_;              // by cancel_somebody(), before it had ended
    std::vector<Index> pieces_;                // steps in which its prompt was fed
    PagePool pool_;
    std::unique_ptr<PrefixIndex> index_;
    std::unique_ptr<Drafter> drafter_;
    Scheduler scheduler_;
    Index step_ = 0;
};

}  // namespace kvlab
