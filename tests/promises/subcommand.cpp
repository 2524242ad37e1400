// normal.cpp - chapter 6: what a format leaves of rows of normally distributed numbers: the one
// error that needs no model.
//
// An example, and a test: tests/tools/promises_test.py adds it to a copy of the tree.
#include <cmath>
#include <cstdio>

#include <kvlab/quant/coded_formats.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/subcommand.hpp>

namespace kvlab::app {

namespace {

struct NormalFlags {
    Index rows = 1000, width = 64;
    std::shared_ptr<OutputFile> json;
};

// Root mean square of what is lost, of that of the numbers.
double share_lost(Format format, const NormalFlags& flags) {
    Rng rng(42);
    double lost = 0, all = 0;
    std::vector<float> row(static_cast<std::size_t>(flags.width));
    for (Index r = 0; r < flags.rows; ++r) {
        for (float& x : row) x = rng.normal();
        std::vector<float> kept = row;
        round_trip(format, kept);
        for (std::size_t i = 0; i < row.size(); ++i) {
            const double x = static_cast<double>(row[i]), y = static_cast<double>(kept[i]);
            lost += (x - y) * (x - y);
            all += x * x;
        }
    }
    return std::sqrt(lost / all);
}

int run_normal(const NormalFlags& flags) {
    Json report = new_report("step06_quant normal", 42);
    report["width"] = flags.width;
    report["rows"] = Json::array();
    std::printf("%td rows of %td normal numbers\n  %-7s %6s %10s\n", flags.rows, flags.width,
                "format", "bits", "lost");
    for (const Format format : coded_formats()) {
        const double lost = share_lost(format, flags);
        std::printf("  %-7s %6td %9.4f%%\n", format->name, format->bits, 100 * lost);
        report["rows"].push_back(
            {{"format", format->name}, {"bits", format->bits}, {"lost", lost}});
    }
    write_json(flags.json, report);
    std::cout << "RESULT rows=" << report["rows"].size() << std::endl;
    return cli::kHolds;
}

void add_normal_flags(CLI::App& app, NormalFlags& flags) {
    cli::add_count(app, "--rows", flags.rows, {1, 1 << 20}, "how many");
    app.add_option("--width", flags.width, "numbers of a row")
        ->check(CLI::IsMember({32, 64, 128, 256}))
        ->capture_default_str();
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kNormal{
    {.place = 25, .name = "normal", .text = "what each format leaves of normal numbers"},
    add_normal_flags,
    run_normal};

}  // namespace

}  // namespace kvlab::app
