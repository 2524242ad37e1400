#include <kvlab/serving/laws.hpp>

#include <algorithm>

#include <kvlab/serving/decoder_steps.hpp>

#include "served.hpp"

namespace kvlab {

namespace {

void check_options(const Decoder& decoder, const LawOptions& o) {
    check(o.schedules >= 1 && o.first >= 0 && o.most_requests >= 1 && o.most_prompt >= 1 &&
              o.most_tokens >= 1 && !o.formats.empty(),
          "laws: expected at least one schedule, request, prompt, token and format");
    check(std::ssize(o.text) >= 2 * o.most_prompt, "laws: prompts of up to ", o.most_prompt,
          " tokens need a text of twice as many, found ", o.text.size());
    check(o.most_prompt + o.most_tokens <= decoder.config().context, "laws: prompts of ",
          o.most_prompt, " tokens and ", o.most_tokens, " to write, but the context is ",
          decoder.config().context);
}

void check_one(Decoder& decoder,
               StepModel& steps,
               const LawOptions& options,
               const std::shared_ptr<const Model>& small,
               Index number,
               LawReport& report) {
    // A stream of its own, so that one of them can be drawn again by itself.
    Rng random(options.seed, static_cast<std::uint64_t>(number));
    const RandomSchedule schedule = draw_schedule(options, random);
    Served(decoder, steps, schedule, small, random, number, report).run();
    report.requests += std::ssize(schedule.requests);
    ++at(report.drawn, schedule.format).second;
}

void add_name(std::string& names, const std::string& name) {
    names += (names.empty() ? "" : ", ") + name;
}

}  // namespace

std::string LawCounts::never() const {
    const std::pair<const char*, Index> all[] = {
        {"cached", cached},         {"copied", copied},       {"evicted", evicted},
        {"recomputed", recomputed}, {"swapped", swapped},     {"accepted", accepted},
        {"rejected", rejected},     {"cancelled", cancelled}, {"ended", ended},
        {"overtaken", overtaken},   {"chunked", chunked},     {"padded", padded}};
    std::string names;
    for (const auto& [name, count] : all)
        if (count == 0) add_name(names, name);
    return names;
}

std::string LawReport::never() const {
    std::string names = counts.never();
    for (const auto& [name, schedules_drawn] : drawn)
        if (schedules_drawn == 0) add_name(names, "pages of " + name);
    return names;
}

LawReport check_laws(Decoder& decoder,
                     const LawOptions& options,
                     const std::function<void(Index schedule)>& on_schedule) {
    check_options(decoder, options);
    DecoderSteps steps(decoder);
    // The decoder holds its model as long as it lives.
    const std::shared_ptr<const Model> model(std::shared_ptr<void>(), &decoder.model());
    const std::shared_ptr<const Model> small = first_layers(model, 1);
    LawReport report;
    for (const LawRows& rows : options.formats) report.drawn.push_back({rows.name, 0});
    for (Index i = options.first; i < options.first + options.schedules; ++i) {
        try {
            check_one(decoder, steps, options, small, i, report);
        } catch (const Error& error) {
            throw Error(concat("schedule ", i, ": ", error.what()));
        }
        ++report.schedules;
        if (on_schedule) on_schedule(i);
        if (options.to_first_difference && !report.holds()) break;
    }
    return report;
}

}  // namespace kvlab
