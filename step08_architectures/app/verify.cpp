// verify.cpp - chapter 8: the laws of a memory on trained models: a text gives the same bits
// in steps of any size, after going back, in a fork, in a batch, with threads and SIMD levels.
#include <cstdio>

#include "laws.hpp"

namespace kvlab::app {

namespace {

struct VerifyFlags {
    ModelsFlags models;
    std::string text = cli::default_text("heldout.txt");
    Index length = 300;
    std::shared_ptr<OutputFile> json;
};

// What can be cut from a text of this length.
LawCases law_cases(Index length) {
    LawCases cases{.chunks = {},
                   .backs = {1, length / 3, length - 1, length},
                   .forks = {1, length / 2},
                   .batch = true};
    for (const Index chunk : {3, 7, 16, 64, 65, 100})
        if (chunk < length) cases.chunks.push_back(chunk);
    for (const SimdLevel level : supported_simd_levels())
        cases.engines.push_back({1, simd_level_name(level)});
    for (const Index threads : {2, 3})
        cases.engines.push_back({threads, simd_level_name(supported_simd_levels().back())});
    return cases;
}

void print_laws(const OpenedMixers& opened, const LawsHeld& held) {
    std::printf("%s (%s)\n", opened.name.c_str(),
                kinds_of_layers(opened.decoder.mixed_model().names).c_str());
    for (const Law& law : held.laws) {
        std::printf("  %-22s %5td x  %td of %td floats differ", law.name.c_str(), law.happened,
                    law.floats.differ, law.floats.count);
        if (law.floats.differ > 0)
            std::printf(", the first at %td, at most %llu ulp", law.floats.first,
                        static_cast<unsigned long long>(law.floats.max_ulp));
        std::printf("\n");
    }
    std::printf("  %-22s %7s  %td bytes held, %td by the closed form\n", "memory", "",
                held.bytes_measured, held.bytes_form);
    std::cout << "  checksum of all logits " << held.checksum
              << "; bit-identical: " << cli::verdict(held.hold()) << "\n"
              << std::endl;
}

int run_verify(const VerifyFlags& flags) {
    const MixersFound found = open_all_mixers(flags.models);
    const auto& models = found.models;
    std::printf(
        "x: steps of the text; for going back and forks, rows that another text changed "
        "meanwhile\n\n");
    Json json = new_report("step08_architectures verify", 0);
    json["missing"] = found.missing;
    Difference all;
    bool hold = true;
    for (const auto& opened : models) {
        const LawsHeld held = check_laws(*opened, flags.models.folder,
                                         text_for_laws(*opened, flags.text, flags.length),
                                         law_cases(flags.length));
        print_laws(*opened, held);
        all.merge(held.all());
        hold = hold && held.hold();
        json["models"].push_back(laws_json(held));
        json["models"].back()["model"] = opened->name;
    }
    json["hold"] = hold;
    write_json(flags.json, json);
    std::cout << "RESULT models=" << models.size() << " floats=" << all.count
              << " differ=" << all.differ << " laws=" << (hold ? "yes" : "no") << std::endl;
    return hold ? cli::kHolds : cli::kFails;
}

void add_verify_flags(CLI::App& app, VerifyFlags& flags) {
    add_models_flags(app, flags.models);
    app.add_option("--text", flags.text, "text whose beginning is read")
        ->transform(cli::text_file());
    cli::add_count(app, "--length", flags.length, {4, 512}, "tokens of the text, with BOS");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kVerify{
    {.place = 20,
     .name = "verify",
     .text = "the laws on trained models: steps, going back, forks, batches, threads, SIMD"},
    add_verify_flags,
    run_verify};

}  // namespace

}  // namespace kvlab::app
