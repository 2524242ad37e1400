// subcommand.hpp - chapter 1: a program is a name, a text and its subcommands. Each of these is
// a file of the folder app/ that says all of itself; no list of them stands anywhere.
//
//   app/main.cpp    const cli::Program program{.name = "step01_tensor", .text = "..."};
//                   return program.run(argc, argv);
//   app/count.cpp   struct CountFlags { Index steps = 100; ... };
//                   void add_count_flags(CLI::App& app, CountFlags& flags) { ... }
//                   int run_count(const CountFlags& flags) { ... return cli::kHolds; }
//                   const cli::Subcommand kCount{
//                       {.place = 40, .name = "count", .text = "..."},
//                       add_count_flags, run_count};
//
// CMake compiles every app/*.cpp into its program. Header only, and included by programs alone.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <kvlab/tensor/program.hpp>
#include <kvlab/tensor/version.hpp>

namespace kvlab::cli {

// What --help says of a subcommand, and when it runs.
struct About {
    int place = 0;            // in --help; lower ones stand first
    std::string name = {};    // empty: its flags are the program's own
    std::string text = {};    // a line of --help
    bool by_default = false;  // it is also what the program does without a subcommand
};

// Adds itself to the program whose file it is defined in, before main() begins.
class Subcommand {
public:
    using Run = std::function<int()>;  // returns an exit code

    // The flags are made when the command line is read, and then handed to `run`.
    template <class Flags>
    Subcommand(About about,
               void (*add_flags)(CLI::App& app, Flags& flags),
               int (*run)(const Flags& flags))
        : Subcommand(std::move(about), [=](CLI::App& app) -> Run {
              const auto flags = std::make_shared<Flags>();
              add_flags(app, *flags);
              return [flags, run] { return run(*flags); };
          }) {}

    // Without flags of its own.
    Subcommand(About about, Run run)
        : Subcommand(std::move(about), [run = std::move(run)](CLI::App&) { return run; }) {}

    // `add` adds flags that live somewhere else, and returns what is to run.
    using Add = std::function<Run(CLI::App& app)>;

    Subcommand(About about, Add add) : about_(std::move(about)), add_(std::move(add)) {
        registered().push_back(this);
    }

    Subcommand(const Subcommand&) = delete;
    Subcommand& operator=(const Subcommand&) = delete;

    // All of this program, by place.
    static std::vector<const Subcommand*> all() {
        std::vector<const Subcommand*> sorted = registered();
        std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
            return std::tie(a->about_.place, a->about_.name) <
                   std::tie(b->about_.place, b->about_.name);
        });
        return sorted;
    }

    const About& about() const { return about_; }

    // Its flags into `app`; what is to run when they are read.
    Run add_to(CLI::App& app) const { return add_(app); }

private:
    static std::vector<const Subcommand*>& registered() {
        static std::vector<const Subcommand*> all;  // made by whoever comes first
        return all;
    }

    About about_;
    Add add_;
};

struct Program {
    std::string name, text, footer = {};

    // Parses, runs what was asked for and turns what happens into an exit code. Every failure
    // is one line. A program that is interrupted leaves no unfinished file behind.
    int run(int argc, char** argv) const {
        remove_unfinished_files_on_signals();
        try {
            const int code = parse_and_run(argc, argv);
            finish_standard_output();
            return code;
        } catch (const std::exception& error) {
            std::cout.flush();
            std::cerr << name << ": " << printable(error.what()) << std::endl;
            return kFails;
        }
    }

private:
    int parse_and_run(int argc, char** argv) const {
        CLI::App app{text, name};
        app.footer(footer);
        app.set_version_flag("--version", concat(name, " ", version()),
                             "Print the version and exit");
        Subcommand::Run chosen;
        std::vector<std::pair<const CLI::App*, Subcommand::Run>> runs;
        for (const Subcommand* one : Subcommand::all()) {
            const About& about = one->about();
            CLI::App& of_its_own =
                about.name.empty() ? app : *app.add_subcommand(about.name, about.text);
            runs.emplace_back(&of_its_own, one->add_to(of_its_own));
            if (about.by_default) chosen = runs.back().second;
        }
        app.require_subcommand(chosen ? 0 : 1, 1);
        keep_to_the_letter(app);
        try {
            app.parse(argc, argv);
        } catch (const CLI::ParseError& error) {  // --help is one, too
            return app.exit(error) == 0 ? kHolds : kUsage;
        }
        for (const auto& [sub, run_it] : runs)
            if (sub != &app && sub->parsed()) chosen = run_it;
        return chosen();
    }
};

}  // namespace kvlab::cli
