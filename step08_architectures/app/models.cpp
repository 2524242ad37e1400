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
    app.add_option("--mixer", flags.names,
                   "these models alone, a list, or repeated; default: all that are there")
        ->delimiter(',');
    add_mixer_engine_flags(app, flags.engine);
}

std::filesystem::path mixer_file(const std::string& folder, const std::string& name) {
    if (folder.empty()) return find_model("mixers/" + name, cli::kSourceWeights);
    const std::filesystem::path path = std::filesystem::path(folder) / (name + ".gguf");
    check(std::filesystem::exists(path), path.string(), ": there is no such model");
    return path;
}

std::filesystem::path find_mixer_file(const std::string& folder, const std::string& name) {
    try {
        return mixer_file(folder, name);
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

std::vector<std::unique_ptr<OpenedMixers>> open_all_mixers(const ModelsFlags& flags,
                                                           Index context) {
    std::vector<std::string> names = flags.names;
    std::string missing;
    if (names.empty())
        for (const MixedShape& shape : all_shapes()) {
            if (!find_mixer_file(flags.folder, shape.name).empty())
                names.push_back(shape.name);
            else
                missing += (missing.empty() ? "" : ", ") + shape.name;
        }
    check(!names.empty(), "no trained model is there; see weights/README.md");
    if (!missing.empty()) std::printf("left out, since not there: %s\n", missing.c_str());
    std::vector<std::unique_ptr<OpenedMixers>> all;
    for (const std::string& name : names)
        all.push_back(open_mixers(flags.folder, name, flags.engine, context));
    return all;
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
