// histogram.cpp - chapter 6: what the numbers of a group look like that has to share a scale:
// keys of one head, a token's channels or a channel's tokens, rotated or not, as the model
// makes them and with two channels made 20 times as large.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/texts.hpp>
#include <kvlab/quant/hadamard.hpp>

#include "kv_formats.hpp"

namespace kvlab::app {

namespace {

constexpr std::size_t kBins =
    60;  // four for each of 16 levels: a level is the left edge of one

struct HistogramFlags {
    OpenOptions opened = cli::open_options("deep");
    std::string text = cli::default_text("heldout.txt");
    Index tokens = 512, layer = 0, head = 0, bits = 4;
    std::shared_ptr<OutputFile> json;
};

struct GroupStudy {
    std::vector<Index> counts = std::vector<Index>(kBins);  // by (x - low) / (high - low)
    double range = 0, spread = 0;  // means over groups: high - low, standard deviation
    double used = 0;               // different codes in a group
    Index groups = 0;
    Tensor kept;  // [S, D] the numbers behind the codes
};

void study_group(Tensor& keys, Index bits, Index first, Index stride, GroupStudy& study) {
    float* const x = keys.data() + first;
    float low = x[0], high = x[0];
    double sum = 0, squares = 0;
    for (Index i = 0; i < kScaleBlock; ++i) {
        const float y = x[i * stride];
        low = std::min(low, y);
        high = std::max(high, y);
        sum += static_cast<double>(y);
        squares += static_cast<double>(y) * static_cast<double>(y);
    }
    const double n = kScaleBlock, mean = sum / n;
    const double range = static_cast<double>(high) - static_cast<double>(low);
    study.range += range;
    study.spread += std::sqrt(std::max(0.0, squares / n - mean * mean));
    ++study.groups;
    std::uint8_t codes[kScaleBlock];
    float d = 0, m = 0;
    encode_group(bits, x, stride, codes, d, m);
    study.used += static_cast<double>(std::set<int>(codes, codes + kScaleBlock).size());
    const Format code = bits == 2 ? &formats::kivi2 : &formats::kivi4;
    for (Index i = 0; i < kScaleBlock; ++i) {
        const double place =
            range == 0
                ? 0
                : (static_cast<double>(x[i * stride]) - static_cast<double>(low)) / range;
        ++study.counts[std::min(kBins - 1, usize(place * kBins))];
        study.kept.data()[first + i * stride] = decode_number(code, codes[i], d, m);
    }
}

// Whole groups of 32 tokens alone count, in both cuts.
GroupStudy study_groups(Tensor keys, Index bits, bool channels) {  // keys: [S, D]
    const Index S = keys.dim(0), D = keys.dim(1);
    GroupStudy study;
    study.kept = keys.clone();
    if (channels) {
        for (Index s = 0; s + kScaleBlock <= S; s += kScaleBlock)
            for (Index i = 0; i < D; ++i) study_group(keys, bits, s * D + i, D, study);
    } else {
        for (Index block = 0; block + kScaleBlock <= S * D; block += kScaleBlock)
            study_group(keys, bits, block, 1, study);
    }
    const auto groups = static_cast<double>(study.groups);
    study.range /= groups;
    study.spread /= groups;
    study.used /= groups;
    return study;
}

// Root mean square of the differences over that of the numbers, in channels [0, D).
double relative_error(const Tensor& kept, const Tensor& keys, Index D) {
    double wrong = 0, size = 0;
    for (Index s = 0; s < keys.dim(0); ++s)
        for (Index i = 0; i < D; ++i) {
            const double x = static_cast<double>(keys(s, i));
            const double difference = static_cast<double>(kept(s, i)) - x;
            wrong += difference * difference;
            size += x * x;
        }
    return std::sqrt(wrong / size);
}

void rotate_rows(Tensor& rows) {
    for (Index s = 0; s < rows.dim(0); ++s) hadamard({&rows(s, 0), usize(rows.dim(1))});
}

// The keys of one head after RoPE, [T, D].
Tensor keys_of(const std::shared_ptr<const Model>& model,
               Engine& engine,
               const HistogramFlags& flags,
               std::span<const Token> text) {
    Decoder decoder(model, engine);
    const auto T = std::ssize(text);
    KvCache cache(decoder.kv_shape(), T, coded_rows({}));
    decoder.forward(cache, text);
    Tensor keys({T, model->config.head_dim});
    for (Index s = 0; s < keys.dim(0); ++s)
        for (Index i = 0; i < keys.dim(1); ++i)
            keys(s, i) = cache.key(flags.layer, flags.head, s, i);
    return keys;
}

void add_row(
    const Tensor& keys, Index bits, bool inject, bool rotate, bool channels, Json& rows) {
    Tensor seen = keys.clone();
    if (rotate) rotate_rows(seen);
    GroupStudy study = study_groups(std::move(seen), bits, channels);
    if (rotate) rotate_rows(study.kept);
    const double all = relative_error(study.kept, keys, keys.dim(1)),
                 quiet = relative_error(study.kept, keys, keys.dim(1) - 2);
    const char* const group = channels ? "channel" : "token";
    std::printf("  %-9s %-8s %-8s %10s %10s %9.1f %8.2f%% %8.2f%%\n", inject ? "x20" : "as is",
                rotate ? "yes" : "no", group, format_number(study.range).c_str(),
                format_number(study.spread).c_str(), study.used, 100 * all, 100 * quiet);
    rows.push_back({{"inject", inject},
                    {"rotated", rotate},
                    {"group", group},
                    {"range", study.range},
                    {"spread", study.spread},
                    {"codes_used", study.used},
                    {"error", all},
                    {"error_quiet", quiet},
                    {"groups", study.groups},
                    {"counts", study.counts}});
}

int run_histogram(const HistogramFlags& given) {
    HistogramFlags flags = given;
    const OpenedModel opened(flags.opened);
    const Config& config = opened.model->config;
    check(flags.layer < config.layers && flags.head < config.kv_heads, "--layer, --head: the ",
          "model has ", config.layers, " layers of ", config.kv_heads, " KV heads");
    cli::check_fits("--tokens", flags.tokens, config);
    flags.tokens = flags.tokens / kScaleBlock * kScaleBlock;  // only whole groups are looked at
    check_row_format(&formats::kivi4, config.head_dim, false);
    check_hadamard(config.head_dim);
    const TextWindows windows =
        windows_of(opened, {&flags.text, 1}, flags.tokens, flags.tokens);
    const std::vector<Token> text = windows.input(0);
    std::printf("%s, layer %td, KV head %td: keys of %td tokens in groups of %td, %td bits\n",
                config.name.c_str(), flags.layer, flags.head, flags.tokens, kScaleBlock,
                flags.bits);
    std::printf("  %-9s %-8s %-8s %10s %10s %9s %9s %9s\n", "channels", "rotated", "group",
                "range", "spread", "codes", "error", "of quiet");
    Json report = new_report("step06_quant histogram", 0);
    report["model"] = config.name;
    report["layer"] = flags.layer;
    report["head"] = flags.head;
    report["tokens"] = flags.tokens;
    report["bits"] = flags.bits;
    for (const bool inject : {false, true}) {
        const auto model =
            inject ? with_outliers(opened.file, config, *opened.engine) : opened.model;
        const Tensor keys = keys_of(model, *opened.engine, flags, text);
        for (const bool rotate : {false, true})
            for (const bool channels : {false, true})
                add_row(keys, flags.bits, inject, rotate, channels, report["rows"]);
    }
    std::printf(
        "  channels: x20: two of them made 20 times as large. group: 32 channels of a token, "
        "or 32 tokens of\n"
        "  a channel, with one scale. range, spread: of a group, high - low and the standard "
        "deviation, means.\n"
        "  codes: different ones in a group, of %d. error: root mean square, of that of the "
        "keys, turned\n"
        "  back if rotated; of quiet: in the other channels alone.\n",
        1 << flags.bits);
    write_json(flags.json, report);
    std::cout << "RESULT rows=" << report["rows"].size() << std::endl;
    return cli::kHolds;
}

void add_histogram_flags(CLI::App& app, HistogramFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    app.add_option("--text", flags.text, "text to take keys of")->transform(cli::text_file());
    cli::add_count(app, "--tokens", flags.tokens, {kScaleBlock, 1 << 20},
                   "tokens of it, in whole groups of 32");
    cli::add_count(app, "--layer", flags.layer, {0, 1 << 20}, "whose keys");
    cli::add_count(app, "--head", flags.head, {0, 1 << 20}, "of its KV heads");
    app.add_option("--bits", flags.bits, "of a code")
        ->check(CLI::IsMember({2, 4}))
        ->capture_default_str();
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kHistogram{
    {.place = 20,
     .name = "histogram",
     .text = "the numbers of a group that shares a scale: ranges, codes used, errors"},
    add_histogram_flags,
    run_histogram};

}  // namespace

}  // namespace kvlab::app
