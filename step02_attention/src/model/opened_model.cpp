#include <kvlab/attention/opened_model.hpp>

#include <iomanip>
#include <sstream>

#include <kvlab/attention/architecture.hpp>
#include <kvlab/weights/model_path.hpp>

namespace kvlab {

namespace {

// A model of a few megabytes runs from the processor's cache, in microseconds per token: waking
// a second thread would cost more than it brings.
Index threads_for(Index wanted, Index file_bytes) {
    if (wanted > 0) return wanted;
    if (file_bytes < Index{16} << 20) return 1;
    return machine_threads();
}

// What kind of model it is comes first: a file of another family is refused as that, not for
// its tokenizer.
GgufFile open_model(const OpenOptions& options) {
    GgufFile file = GgufFile::open(find_model(options.model, options.source_weights));
    read_config(file);
    return file;
}

}  // namespace

OpenedModel::OpenedModel(const OpenOptions& options)
    : level(options.simd.empty() ? default_simd_level() : parse_simd_level(options.simd)),
      file(open_model(options)),
      tokenizer(make_tokenizer(file.metadata())),
      engine(options.make_engine
                 ? options.make_engine()
                 : make_cpu_engine({threads_for(options.threads, file.file_bytes()), level})),
      model(load_model(file, *engine)),
      decoder(model, *engine) {
    check(tokenizer->vocab_size() == model->config.vocab, file.name(), ": the tokenizer has ",
          tokenizer->vocab_size(), " tokens, the embedding ", model->config.vocab);
    if (options.on_note)
        for (const std::string& note : tokenizer_notes(file.metadata())) options.on_note(note);
}

std::vector<Token> OpenedModel::encode(const std::string& text, EncodeReport* report) const {
    EncodeOptions options;
    options.add_bos = tokenizer->wants_bos();
    return tokenizer->encode(text, options, report);
}

std::string describe_model(const Model& model) {
    const Config& c = model.config;
    std::ostringstream out;
    const auto line = [&](const char* label, const auto& value) {
        out << "  " << std::left << std::setw(26) << label << value << '\n';
    };
    const char* kind = c.kv_heads == c.heads ? " (MHA)" : c.kv_heads == 1 ? " (MQA)" : " (GQA)";
    line("file", std::filesystem::path(model.source).filename().string());
    line("name", c.name);
    line("architecture", architecture_name(c.architecture));
    line("vocabulary V", c.vocab);
    line("width C", c.dim);
    line("layers L", c.layers);
    line("query heads Hq", c.heads);
    line("KV heads Hkv", concat(c.kv_heads, kind));
    line("head width D", c.head_dim);
    line("feed-forward width F", c.ffn);
    line("context", c.context);
    line("positions",
         c.architecture == Architecture::gpt2
             ? std::string("learned")
             : concat("RoPE, base ", c.rope_base, ", ", c.rope_dim, " of each head"));
    line("output matrix", c.tied_output ? "the embedding (tied)" : "a matrix of its own");
    line("parameters", c.parameters());
    line("weights in memory", concat(model.weight_bytes(), " bytes"));
    line("cache per token",
         concat(2 * c.layers * c.kv_heads * c.head_dim * Index{sizeof(float)},
                " bytes (2 L Hkv D x 4)"));
    return out.str();
}

}  // namespace kvlab
