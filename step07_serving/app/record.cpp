// record.cpp - chapter 7: a small schedule in which everything happens, step by step in a file
// for tools/schedule_viewer.py.
//
//   {"schema", "experiment", ..., "model", "engine", "page_slots", "pages",
//    "requests": [{"number", "arrival_step", "prompt_tokens", "max_tokens", "scope", "outcome",
//                  "cached", "written"}],
//    "steps": [{"step", "seconds", "parts": [{"request", "fed", "wanted", "drafted",
//    "accepted",
//               "written"}], "events": [{"kind", "request", "count"}], "copied",
//               "tables": {"request": [pages]}, "indexed": [pages]}]}
#include <algorithm>
#include <cstdio>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/serving/decoder_steps.hpp>
#include <kvlab/serving/schedule_record.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

namespace {

struct RecordFlags {
    OpenOptions opened = cli::open_options();
    Index pages = 8, running = 4, budget = 96, drafts = 4;
    bool radix = false, swap = false;
    std::shared_ptr<OutputFile> out;
};

// What the requests are about. A prompt is the beginning of the first text, as many pages of it
// as it says, and then the beginning of the second one.
constexpr const char* kShared =
    "And God said, Let there be light: and there was light. And God saw the light, that it was "
    "good: and God divided the light from the darkness. And God called the light Day, and the "
    "darkness he called Night. And the evening and the morning were the first day. And God "
    "said, "
    "Let there be a firmament in the midst of the waters, and let it divide the waters from "
    "the "
    "waters. And God made the firmament, and divided the waters which were under the firmament "
    "from the waters which were above the firmament: and it was so. And God called the "
    "firmament "
    "Heaven. And the evening and the morning were the second day.";
constexpr const char* kOwn =
    " And the king said unto the man, What is thy name? And the man said, I am the son of thy "
    "servant. And the king said unto him, Go, and the LORD be with thee. And the man went, and "
    "came unto the city, and the king of the city said unto him, What is thy name? And the man "
    "said, I am the son of thy servant. And he said unto the king, Go, and the LORD be with "
    "thee.";

struct PlannedRequest {
    Index step;          // before which it comes
    Index shared_pages;  // of its prompt, full ones
    Index own;           // further tokens of its prompt
    Index write;
    Index cancel = -1;  // the step before which somebody thinks better of it
    const char* scope = "";
};

// ANCHOR: planned
// In pages of 64 tokens. Two begin alike (0, 1). One asks what is in full pages already, so
// that its last page is copied (2). Long ones want more pages than there are (3, 4). A stranger
// must not share (5), somebody goes away (6), and a beginning is found that only the index
// still holds (7).
constexpr PlannedRequest kPlanned[] = {
    {0, 2, 20, 40},  {3, 2, 45, 60},           {5, 2, 0, 30},       {6, 0, 250, 70},
    {8, 1, 180, 90}, {40, 2, 10, 20, -1, "b"}, {44, 0, 60, 80, 60}, {90, 2, 30, 16}};

// ANCHOR_END: planned

Request make_request(const PlannedRequest& planned, const OpenedModel& opened, Index slots) {
    Request request{.prompt = {}, .max_tokens = planned.write, .scope = planned.scope};
    const auto take = [&](const char* from, Index count) {
        const std::vector<Token> tokens = opened.encode(from);
        check(std::ssize(tokens) >= count, "record: the built-in text has ", tokens.size(),
              " tokens of this model, ", count, " are wanted");
        request.prompt.insert(request.prompt.end(), tokens.begin(), tokens.begin() + count);
    };
    take(kShared, planned.shared_pages * slots);
    take(kOwn, planned.own);
    return request;
}

// The requests of the plan, each before its step, and all steps.
void record_plan(ScheduleRecord& record,
                 Scheduler& scheduler,
                 const OpenedModel& opened,
                 Index slots) {
    std::vector<Index> numbers;  // of the plan's requests
    for (;;) {
        const Index now = std::ssize(record.steps());
        for (; std::ssize(numbers) < std::ssize(kPlanned);) {
            const PlannedRequest& next = kPlanned[numbers.size()];
            if (next.step > now && scheduler.waiting() + scheduler.running() > 0) break;
            numbers.push_back(record.add(make_request(next, opened, slots)));
        }
        for (Index i = 0; i < std::ssize(numbers); ++i)
            if (kPlanned[i].cancel == now) scheduler.cancel(at(numbers, i));
        if (!record.step() && numbers.size() == std::size(kPlanned)) return;
    }
}

Json requests_json(const ScheduleRecord& record, const Scheduler& scheduler) {
    Json all = Json::array();
    for (Index i = 0; i < std::ssize(record.requests()); ++i) {
        const RecordedRequest& request = at(record.requests(), i);
        all.push_back({{"number", i},
                       {"arrival_step", request.arrival_step},
                       {"prompt_tokens", request.prompt_tokens},
                       {"max_tokens", request.max_tokens},
                       {"scope", request.scope},
                       {"outcome", outcome_name(scheduler.outcome(i))},
                       {"cached", scheduler.counts(i).cached},
                       {"written", std::ssize(scheduler.generated(i))}});
    }
    return all;
}

Json step_json(const RecordedStep& step, Index number) {
    Json json{{"step", number}, {"seconds", step.seconds}};
    json["parts"] = Json::array();
    for (const auto& [share, written] : step.parts)
        json["parts"].push_back({{"request", share.request},
                                 {"fed", share.fed},
                                 {"wanted", share.wanted},
                                 {"drafted", share.drafted},
                                 {"accepted", share.accepted},
                                 {"written", written}});
    json["events"] = Json::array();
    for (const StepEvent& event : step.events)
        json["events"].push_back({{"kind", event_name(event.kind)},
                                  {"request", event.request},
                                  {"count", event.count}});
    json["copied"] = step.copied;
    json["tables"] = Json::object();
    for (const auto& [request, pages] : step.tables)
        json["tables"][std::to_string(request)] = pages;
    json["indexed"] = step.indexed;
    return json;
}

// Compact: a step is a line.
void write_schedule(OutputFile& file,
                    const RecordFlags& flags,
                    const OpenedModel& opened,
                    const ScheduleRecord& record,
                    const Scheduler& scheduler,
                    const PagePool& pool) {
    Json head = new_report("step07_serving record", 0);
    head["model"] = opened.model->config.name;
    head["engine"] = opened.engine->name();
    head["page_slots"] = pool.page_slots();
    head["pages"] = pool.pages();
    head["preemption"] = flags.swap ? "swap" : "recompute";
    head["requests"] = requests_json(record, scheduler);
    std::string text = head.dump(-1, ' ', false, Json::error_handler_t::replace);
    text.back() = ',';
    text += "\n\"steps\":[";
    for (Index i = 0; i < std::ssize(record.steps()); ++i)
        text += (i == 0 ? "\n" : ",\n") + step_json(at(record.steps(), i), i).dump();
    file.write(text + "\n]}\n");
    file.commit();
}

// What a reader is to see; a recording without one of them shows nothing of it.
void check_seen(const ScheduleRecord& record,
                const SchedulerCounts& counts,
                const PagePool& pool) {
    using Kind = StepEvent::Kind;
    const auto seen = [](Index times, const char* what) {
        check(times > 0, "record: ", what, "; with other --pages it may");
    };
    seen(counts.preempted, "no request was preempted");
    seen(record.events(Kind::resumed), "no request came back");
    seen(record.events(Kind::cancelled), "no request was cancelled");
    seen(record.counts(Kind::evicted), "the index let go of no page");
    seen(counts.cached, "no request began with another one's pages");
    seen(pool.counts().copied, "no page was copied");
    seen(counts.accepted, "no guess was right");
    seen(counts.drafted - counts.accepted, "no guess was wrong");
}

int run_record(const RecordFlags& flags) {
    OpenedModel opened(flags.opened);
    DecoderSteps steps(opened.decoder, opened.level);
    PagePool pool(opened.decoder.kv_shape(), {.pages = flags.pages});
    const std::unique_ptr<PrefixIndex> index =
        flags.radix ? make_radix_index(pool) : make_chain_index(pool);
    const std::unique_ptr<Drafter> drafter = make_lookup_drafter();
    Scheduler scheduler(steps, pool,
                        {.max_running = flags.running,
                         .token_budget = flags.budget,
                         .preemption = flags.swap ? Preemption::swap : Preemption::recompute,
                         .draft_tokens = flags.drafts},
                        index.get(), drafter.get());
    ScheduleRecord record(scheduler, steps, pool);
    record_plan(record, scheduler, opened, pool.page_slots());
    const SchedulerCounts& counts = scheduler.counts();
    check_seen(record, counts, pool);
    write_schedule(*flags.out, flags, opened, record, scheduler, pool);
    std::printf("%s, %s: %td requests in %zu steps, %td pages of %td tokens\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(),
                scheduler.requests(), record.steps().size(), pool.pages(), pool.page_slots());
    using Kind = StepEvent::Kind;
    std::printf(
        "RESULT requests=%td steps=%zu preempted=%td hits=%td copied=%td evicted=%td "
        "accepted=%td rejected=%td\n",
        scheduler.requests(), record.steps().size(), counts.preempted, counts.cached,
        pool.counts().copied, record.counts(Kind::evicted), counts.accepted,
        counts.drafted - counts.accepted);
    return cli::kHolds;
}

void add_record_flags(CLI::App& app, RecordFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_count(app, "--pages", flags.pages, 1, "of 64 tokens, in the pool");
    cli::add_count(app, "--running", flags.running, 1, "requests that run at once, at most");
    cli::add_count(app, "--budget", flags.budget, 1, "tokens of a step, at most");
    cli::add_count(app, "--drafts", flags.drafts, 0, "guesses in a step for each request");
    app.add_option_function<std::string>(
           "--index", [&](const std::string& name) { flags.radix = name == "radix"; },
           "of shared beginnings: chain or radix")
        ->check(CLI::IsMember({"chain", "radix"}));
    app.add_option_function<std::string>(
           "--preemption", [&](const std::string& name) { flags.swap = name == "swap"; },
           "recompute or swap")
        ->check(CLI::IsMember({"recompute", "swap"}));
    cli::add_output_flag(app, "-o,--out,--json", flags.out, "the file to write, JSON");
    app.callback([&flags] {  // after what else is wrong has been said
        if (!flags.out) throw CLI::RequiredError("--out");
    });
}

const cli::Subcommand kRecord{
    {.place = 60,
     .name = "record",
     .text = "a small schedule with everything in it, into a file for schedule_viewer.py"},
    add_record_flags,
    run_record};

}  // namespace

}  // namespace kvlab::app
