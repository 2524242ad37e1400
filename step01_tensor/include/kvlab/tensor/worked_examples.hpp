// worked_examples.hpp - chapter 1: the subcommand `by-hand` of the chapters' programs. It
// prints the examples that a chapter works out on paper, computed by the code that the chapter
// is about. Header only, and included by programs alone.
#pragma once

#include <kvlab/tensor/subcommand.hpp>

namespace kvlab::cli {

struct WorkedExample {
    const char* name = nullptr;
    void (*print)() = nullptr;
};

// `by-hand NAME` prints one of them, `by-hand` all of them, each below its name.
inline Subcommand worked_examples(int place, std::vector<WorkedExample> examples) {
    return Subcommand(
        {.place = place, .name = "by-hand", .text = "the chapter's worked examples, computed"},
        [examples = std::move(examples)](CLI::App& app) -> Subcommand::Run {
            const auto wanted = std::make_shared<std::string>("all");
            std::vector<std::string> names = {"all"};
            for (const WorkedExample& example : examples) names.push_back(example.name);
            app.add_option("example", *wanted, "which of them")
                ->check(CLI::IsMember(names))
                ->capture_default_str();
            app.fallthrough(false);  // nothing here is timed, and no report is written
            return [examples, wanted] {
                for (const WorkedExample& example : examples) {
                    if (*wanted != "all" && *wanted != example.name) continue;
                    if (*wanted == "all") std::cout << example.name << ":\n";
                    example.print();
                }
                return kHolds;
            };
        });
}

}  // namespace kvlab::cli
