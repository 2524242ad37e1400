#include "models.hpp"

#include <algorithm>
#include <cstdio>

namespace kvlab::app {

void add_mixer_engine_flags(CLI::App& app, EngineFlags& flags) {
    cli::add_count(app, "--threads", flags.threads, {1, 256}, "threads");
    app.add_option("--simd", flags.simd, "portable, avx2 or avx512; default: the best here");
}

void add_folder_flag(CLI::App& app, std::string& folder) {
    app.add_option("--models", folder,
                   "folder of the trained models; default: mixers/ where weights are searched")
        ->check(CLI::ExistingDirectory);
}

void add_models_flags(CLI::App& app, ModelsFlags& flags) {
    add_folder_flag(app, flags.folder);
    app.add_option("-m,--mixer", flags.names,
                   "these models alone, a list, or repeated; default: all that are there")
        ->delimiter(',');
    add_mixer_engine_flags(app, flags.engine);
}

std::filesystem::path mixer_file(const std::string& folder, const std::string& name) {
    const std::filesystem::path path = find_mixer_file(folder, name);
    check(!path.empty(), folder.empty() ? "mixers/" : folder, ": there is no model ",
          quote(name, 40), "; weights/README.md says how they are trained");
    return path;
}

std::filesystem::path find_mixer_file(const std::string& folder, const std::string& name) {
    if (!folder.empty()) {
        const std::filesystem::path path = std::filesystem::path(folder) / (name + ".gguf");
        return std::filesystem::is_regular_file(path) ? path : std::filesystem::path();
    }
    try {
        return find_model("mixers/" + name, cli::kSourceWeights);
    } catch (const Error&) {
        return {};
    }
}

OpenedMixers::OpenedMixers(std::string given,
                           const WeightSource& source,
                           const EngineFlags& flags,
                           Index context)
    : name(std::move(given)),
      level(flags.simd.empty() ? default_simd_level() : parse_simd_level(flags.simd)),
      engine(make_cpu_engine({flags.threads, level})),
      decoder(load_mixed_model(source, *engine, context), *engine) {
    if (source.metadata().find("tokenizer.ggml.tokens") == nullptr) return;
    tokenizer = make_tokenizer(source.metadata());
    check(tokenizer->vocab_size() == decoder.config().vocab, source.name(),
          ": the tokenizer has ", tokenizer->vocab_size(), " tokens, the embedding ",
          decoder.config().vocab);
}

std::unique_ptr<MixedStore> OpenedMixers::make_store(Index capacity, Index rewind) const {
    return decoder.make_store(
        {.capacity = capacity, .rewind = rewind, .engine = engine.get(), .level = level});
}

std::unique_ptr<OpenedMixers> open_mixers(const std::string& folder,
                                          const std::string& name,
                                          const EngineFlags& flags,
                                          Index context) {
    const GgufFile file = GgufFile::open(mixer_file(folder, name));
    auto opened = std::make_unique<OpenedMixers>(name, file, flags, context);
    check(opened->tokenizer != nullptr && opened->bos() != kNoToken &&
              opened->decoder.config().vocab == 256,
          file.name(), ": not a byte model with a BOS");
    return opened;
}

void check_named_once(const std::vector<std::string>& names) {
    for (auto name = names.begin(); name != names.end(); ++name)
        check(std::find(names.begin(), name, *name) == name, "--mixer: ", quote(*name, 40),
              " is named twice");
}

MixersFound open_all_mixers(const ModelsFlags& flags, Index context) {
    std::vector<std::string> names = flags.names;
    MixersFound found;
    if (names.empty())
        for (const MixedShape& shape : all_shapes()) {
            const bool there = !find_mixer_file(flags.folder, shape.name).empty();
            (there ? names : found.missing).push_back(shape.name);
        }
    check(!names.empty(), flags.folder.empty() ? "mixers/" : flags.folder,
          ": there is no trained model; weights/README.md says how they are trained");
    check_named_once(names);
    print_missing(found.missing);
    for (const std::string& name : names)
        found.models.push_back(open_mixers(flags.folder, name, flags.engine, context));
    return found;
}

void print_missing(const std::vector<std::string>& missing) {
    if (missing.empty()) return;
    std::printf("left out, since not there:");
    for (const std::string& name : missing)
        std::printf("%s %s", &name == missing.data() ? "" : ",", name.c_str());
    std::printf("\n");
}

std::string kinds_of_layers(const std::vector<std::string>& mixers) {
    std::vector<std::pair<std::string, Index>> kinds;
    for (const std::string& mixer : mixers) {
        const auto same = [&](const auto& kind) { return kind.first == mixer; };
        const auto found = std::ranges::find_if(kinds, same);
        if (found == kinds.end())
            kinds.emplace_back(mixer, 1);
        else
            ++found->second;
    }
    if (kinds.size() == 1) return kinds[0].first;
    std::string text;
    for (const auto& [kind, count] : kinds)
        text += concat(text.empty() ? "" : ", ", count, " ", kind);
    return text;
}

}  // namespace kvlab::app
