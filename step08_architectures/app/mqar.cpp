// mqar.cpp - chapter 8, experiment O12: multi-query associative recall. What models that were
// trained on it answer rightly, by the length of the text and the pairs in it, and how many
// bytes they remember it in.
#include <algorithm>
#include <cstdio>

#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/report.hpp>

#include "models.hpp"
#include "mqar_cases.hpp"

namespace kvlab::app {

namespace {

struct MqarFlags {
    ModelsFlags models;
    std::vector<std::string> cells;  // empty: those of the training and of its test
    Index cases = 100;               // of each cell
    std::uint64_t seed = 1;          // training takes others: 2^32 and more
    bool quick = false;
    std::shared_ptr<OutputFile> json;
};

// A file of the folder. "gqa_d32" is of the family gqa, as is "gqa".
struct MqarModel {
    std::string name, family;
};

constexpr const char* kMqarFamilies[] = {"gqa", "mla", "local", "delta", "mamba", "jamba"};

// Where the models are. Throws Error if they are nowhere.
std::string mqar_folder(const ModelsFlags& flags) {
    if (!flags.folder.empty()) return flags.folder;
    for (const MixedShape& shape : all_shapes()) {
        const std::filesystem::path path = find_mixer_file("", "mqar/" + shape.name);
        if (!path.empty()) return path.parent_path().string();
    }
    throw Error(
        "mixers/mqar/: there is no model of this task; weights/README.md says how they "
        "are trained");
}

// The place of its family in the tables; behind all for an unknown one.
Index place_of(const std::string& family) {
    const auto all = all_shapes();
    return std::ranges::find(all, family, &MixedShape::name) - all.begin();
}

std::vector<MqarModel> mqar_models(const std::string& folder,
                                   const std::vector<std::string>& wanted) {
    std::vector<MqarModel> models;
    const auto add = [&](const std::string& name) {
        models.push_back({name, name.substr(0, name.find("_d"))});
    };
    check_named_once(wanted);
    for (const std::string& name : wanted) add(name);
    if (!wanted.empty()) return models;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        if (entry.path().extension() == ".gguf") add(entry.path().stem().string());
    std::ranges::sort(models, {}, [](const MqarModel& model) {
        return std::tuple(place_of(model.family), model.name);
    });
    check(!models.empty(), folder,
          ": there is no model of this task; weights/README.md says how ", "they are trained");
    return models;
}

// All cases of a cell, and their checksum so far.
std::vector<MqarCase> make_cases(const MqarFlags& flags, const MqarCell& cell, Checksum& sum) {
    std::vector<MqarCase> cases;
    for (Index number = 0; number < flags.cases; ++number) {
        cases.push_back(make_mqar_case(flags.seed, cell, number));
        add_mqar_case(sum, cases.back());
    }
    return cases;
}

// The last token is never read: nothing is asked behind it.
Index right_mqar_answers(OpenedMixers& opened, const MqarCase& mqar) {
    const std::span tokens(mqar.tokens);
    const auto store = opened.make_store(std::ssize(tokens) - 1);
    const View<const float> logits =
        opened.decoder.forward(*store, tokens.first(tokens.size() - 1), LogitsOf::all);
    Index right = 0;
    for (const Index at : mqar.answers)
        right += argmax(logits[at].flat()) == tokens[usize(at + 1)];
    return right;
}

Json judge_cell(OpenedMixers& opened,
                const MqarCell& cell,
                const std::vector<MqarCase>& cases) {
    Index right = 0;
    for (const MqarCase& mqar : cases) right += right_mqar_answers(opened, mqar);
    const Index answers = cell.pairs * std::ssize(cases);
    const Index bytes = opened.decoder.mixed_model().state_bytes(cell.length);
    const double accuracy = static_cast<double>(right) / static_cast<double>(answers);
    std::printf("  %-12s %7td %6td %8s %8td of %6td %8.1f %% %12td\n", opened.name.c_str(),
                cell.length, cell.pairs, cell.trained ? "yes" : "no", right, answers,
                accuracy * 100, bytes);
    std::fflush(stdout);
    return {{"length", cell.length}, {"pairs", cell.pairs}, {"trained", cell.trained},
            {"answers", answers},    {"right", right},      {"accuracy", accuracy},
            {"state_bytes", bytes}};
}

std::vector<std::string> missing_families(const std::vector<MqarModel>& models,
                                          const std::vector<std::string>& wanted) {
    std::vector<std::string> missing;
    if (wanted.empty())
        for (const char* const family : kMqarFamilies)
            if (std::ranges::find(models, family, &MqarModel::family) == models.end())
                missing.push_back(family);
    return missing;
}

int run_mqar(const MqarFlags& given) {
    MqarFlags flags = given;
    if (flags.quick) flags.cases = std::min<Index>(flags.cases, 4);
    std::vector<MqarCell> cells;
    for (const std::string& text : flags.cells) cells.push_back(read_mqar_cell(text));
    if (cells.empty()) cells = mqar_cells();
    const std::string folder = mqar_folder(flags.models);
    const std::vector<MqarModel> models = mqar_models(folder, flags.models.names);
    const auto missing = missing_families(models, flags.models.names);
    print_missing(missing);
    Checksum sum;
    std::vector<std::vector<MqarCase>> cases;  // of each cell
    for (const MqarCell& cell : cells) cases.push_back(make_cases(flags, cell, sum));

    Json json = new_report("step08_architectures mqar", flags.seed);
    json["cases"] = flags.cases;
    json["checksum_of_cases"] = sum.hex();
    json["missing"] = missing;
    json["models"] = Json::array();
    std::printf("%td cases of each length and number of pairs, their checksum %s\n",
                flags.cases, sum.hex().c_str());
    std::printf("  %-12s %7s %6s %8s %18s %10s %12s\n", "model", "tokens", "pairs", "trained",
                "answers right", "", "state bytes");
    Index right = 0, answers = 0;
    for (const MqarModel& model : models) {
        const auto opened = open_mixers(folder, model.name, flags.models.engine);
        const Config& config = opened->decoder.config();
        Json rows = Json::array();
        for (std::size_t c = 0; c < cells.size(); ++c) {
            cli::check_fits(model.name, cells[c].length, config);
            rows.push_back(judge_cell(*opened, cells[c], cases[c]));
            right += rows.back()["right"].get<Index>();
            answers += rows.back()["answers"].get<Index>();
        }
        json["models"].push_back({{"model", model.name},
                                  {"family", model.family},
                                  {"d", config.dim},
                                  {"rows", std::move(rows)}});
    }
    write_json(flags.json, json);
    std::cout << "RESULT models=" << models.size() << " answers=" << answers
              << " right=" << right << " cases=" << sum.hex() << std::endl;
    return cli::kHolds;
}

// What is wrong with a cell is wrong usage.
CLI::Validator mqar_cell() {
    return CLI::Validator(
        [](const std::string& text) {
            try {
                read_mqar_cell(text);
                return std::string();
            } catch (const Error& error) {
                return std::string(error.what());
            }
        },
        "");
}

void add_mqar_flags(CLI::App& app, MqarFlags& flags) {
    app.add_option("--models", flags.models.folder,
                   "folder of models of this task; default: mixers/mqar/ where weights are "
                   "searched")
        ->check(CLI::ExistingDirectory);
    app.add_option("-m,--mixer", flags.models.names,
                   "these models alone, a list, or repeated; default: all that are there")
        ->delimiter(',');
    add_mixer_engine_flags(app, flags.models.engine);
    app.add_option(
           "--cells", flags.cells,
           "length/pairs, a list; default: the five of the training and four longer ones")
        ->delimiter(',')
        ->check(mqar_cell());
    cli::add_count(app, "--cases", flags.cases, {1, 100000}, "of each cell");
    app.add_option("-s,--seed", flags.seed, "of the cases; training takes 2^32 and more")
        ->capture_default_str();
    app.add_flag("--quick", flags.quick, "four cases of each cell: a look, no measurement");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kMqar{
    {.place = 45, .name = "mqar", .text = "pairs that are recalled, by length and bytes"},
    add_mqar_flags,
    run_mqar};

}  // namespace

}  // namespace kvlab::app
