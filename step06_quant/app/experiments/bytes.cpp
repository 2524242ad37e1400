// bytes.cpp - chapter 6: what a cache of each format takes, by length: as the store says, in
// closed form, and as the memory that it took.
#include <algorithm>
#include <cstdio>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/tensor/memory.hpp>

#include "kv_formats.hpp"

namespace kvlab::app {

namespace {

struct BytesFlags {
    OpenOptions opened = cli::open_options("deep");
    std::vector<std::string> codes;
    std::vector<Index> lengths = {32, 64, 128, 192, 256, 512, 1024, 2048, 4096};
    Index residual = 128;
    std::shared_ptr<OutputFile> json;
};

// ANCHOR: form
// Of n tokens. KIVI with a residual of R tokens, at 16 bits: of the keys those behind the last
// multiple of R, of the values the newest R.
Index bytes_by_form(Format code, const KvShape& s, Index R, Index n) {
    const Index row = code->row_bytes(s.head_dim), f16 = 2 * s.head_dim;
    Index keys = n * row, values = n * code->of(false)->row_bytes(s.head_dim);
    if (code->waits) {
        keys = n / R * R * row + n % R * f16;
        values = std::max<Index>(0, n - R) * row + std::min(n, R) * f16;
    }
    return s.layers * s.kv_heads * (keys + values);
}

// ANCHOR_END: form

// One row; returns whether the three agree.
bool weigh_cache(const KvRow& row, const KvShape& shape, Index length, Json& rows) {
    const MemoryUse before = memory_use();
    const auto cache = filled_cache(shape, row.options, nullptr, length);
    const Index taken = memory_use().bytes - before.bytes;
    // Each block is rounded up to whole cache lines.
    const Index lines = static_cast<Index>(kAlignment) * (memory_use().blocks - before.blocks);
    const KvBytes bytes = cache->bytes();
    const Index form = bytes_by_form(row.code, shape, row.options.residual, length);
    const bool equal =
        bytes.logical == form && bytes.allocated <= taken && taken <= bytes.allocated + lines;
    std::printf("  %-10s %6td %10td %10td %6s %10td %8.2f %8.2f\n", row.code->name, length,
                bytes.logical, form, equal ? "yes" : "NO", taken,
                bits_per_number(bytes.logical, shape, length),
                bits_per_number(taken, shape, length));
    rows.push_back({{"format", row.code->name},
                    {"length", length},
                    {"bytes_held", bytes.logical},
                    {"closed_form", form},
                    {"bytes_allocated", bytes.allocated},
                    {"bytes_taken", taken},
                    {"bits", bits_per_number(bytes.logical, shape, length)}});
    return equal;
}

int run_bytes(const BytesFlags& flags) {
    const OpenedModel opened(flags.opened);
    const KvShape shape = opened.decoder.kv_shape();
    QuantOptions options;
    options.residual = flags.residual;
    const KvRows table = kv_rows(shape, options, flags.codes, {"both"});
    std::printf("%s: %td layers, %td KV heads of %td numbers, keys and values\n",
                opened.model->config.name.c_str(), shape.layers, shape.kv_heads,
                shape.head_dim);
    std::printf("  %-10s %6s %10s %10s %6s %10s %8s %8s\n", "format", "tokens", "bytes",
                "by form", "equal", "taken", "bits", "of taken");
    Json report = new_report("step06_quant bytes", 0);
    report["model"] = opened.model->config.name;
    report["residual"] = flags.residual;
    report["rows"] = Json::array();
    bool equal = true;
    for (const KvRow& row : table.rows)
        for (const Index length : flags.lengths)
            equal = weigh_cache(row, shape, length, report["rows"]) && equal;
    for (const std::string& reason : table.refused)
        std::printf("  refused: %s\n", reason.c_str());
    std::printf(
        "  bytes: as the store counts what it holds. taken: the memory that came with a cache "
        "of this\n"
        "  capacity: whole tiles of 64 tokens and, of KIVI, tiles for all and room for what "
        "waits in f16.\n"
        "  equal: the first three agree with each other. bits: of a number.\n");
    if (flags.json) {
        report["refused"] = table.refused;
        report["equal"] = equal;
        write_json(flags.json, report);
    }
    std::cout << "RESULT rows=" << report["rows"].size() << " refused=" << table.refused.size()
              << " equal=" << (equal ? "yes" : "no") << std::endl;
    return equal ? cli::kHolds : cli::kFails;
}

void add_bytes_flags(CLI::App& app, BytesFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    app.add_option("--codes", flags.codes, "these beside f32, a list; default: all")
        ->delimiter(',')
        ->check(CLI::IsMember(format_names(coded_formats())));
    cli::add_count(app, "--lengths", flags.lengths, {1, 1 << 16}, "tokens held, a list");
    app.add_option("--residual", flags.residual, "KIVI: tokens that stay f16")
        ->check(CLI::Range(32, 512))  // IsMember takes "" for a number
        ->check(CLI::IsMember(kResiduals))
        ->capture_default_str();
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kBytes{
    {.place = 30,
     .name = "bytes",
     .text = "what a cache of each format takes, by length: held, by form, allocated"},
    add_bytes_flags,
    run_bytes};

}  // namespace

}  // namespace kvlab::app
