#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "objects.hpp"

namespace kvlab::python {

namespace {

// Names of types as the stub has them.
#define FLOATS "numpy.typing.NDArray[numpy.float32]"
#define TOKENS "int | collections.abc.Sequence[int] | numpy.typing.NDArray[numpy.integer]"

nb::object attention(nb::handle q, nb::handle k, nb::handle v, nb::handle out) {
    const FloatsIn queries(q, "q", 3), keys(k, "k", 3), values(v, "v", 3);
    const int64_t T = queries.dim(0), D = queries.dim(2), S = keys.dim(0), Hkv = keys.dim(1);
    if (keys.dim(2) != D)
        throw nb::value_error(("k: expected the shape [S, Hkv, " + std::to_string(D) +
                               "], found " + shape_text(keys.shape))
                                  .c_str());
    if (values.shape != keys.shape)
        throw nb::value_error(("v: expected the shape of k, " + shape_text(keys.shape) +
                               ", found " + shape_text(values.shape))
                                  .c_str());
    const kvlab_attention_shape shape{T, S, queries.dim(1), Hkv, D};
    const FloatsOut result(out, {T, queries.dim(1), D});
    int status = 0;
    {
        const nb::gil_scoped_release others;
        status = kvlab_attention(&shape, queries.data, keys.data, values.data, result.data);
    }
    must(status);
    return result.array;
}

std::string checksum(nb::handle array) {
    const FloatsIn values(array, "array", -1);
    uint64_t sum = 0;
    must(kvlab_checksum(values.data, values.rows() * values.width(), &sum));
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(sum));
    return text;
}

nb::object logits(const Model& model,
                  nb::handle tokens,
                  nb::handle out,
                  const Recording* record) {
    const TokensIn text(tokens);
    const FloatsOut result(out, {text.size(), model.config.vocab});
    int status = 0;
    {
        const nb::gil_scoped_release others;
        status = kvlab_model_logits(model.handle, text.data, text.size(), recording_of(record),
                                    result.data, result.size);
    }
    must(status);
    return result.array;
}

nb::object decode(
    const Cache& cache, nb::handle tokens, bool last, nb::handle out, const Recording* record) {
    const TokensIn text(tokens);
    const FloatsOut result =
        last ? FloatsOut(out, {cache.vocab}) : FloatsOut(out, {text.size(), cache.vocab});
    int status = 0;
    {
        const nb::gil_scoped_release others;
        status = kvlab_cache_decode(cache.handle, text.data, text.size(),
                                    last ? KVLAB_LAST_ROW : KVLAB_ALL_ROWS,
                                    recording_of(record), result.data, result.size);
    }
    must(status);
    return result.array;
}

nb::object tensor(const Model& model, const kvlab_tensor_info& info) {
    const int64_t* s = info.shape;
    const FloatsOut result = info.rank == 1   ? FloatsOut(nb::none(), {s[0]})
                             : info.rank == 2 ? FloatsOut(nb::none(), {s[0], s[1]})
                             : info.rank == 3 ? FloatsOut(nb::none(), {s[0], s[1], s[2]})
                                              : FloatsOut(nb::none(), {s[0], s[1], s[2], s[3]});
    must(kvlab_model_tensor(model.handle, info.name, result.data, result.size));
    return result.array;
}

nb::dict tensors(const Model& model) {
    int64_t count = 0;
    must(kvlab_model_tensor_count(model.handle, &count));
    nb::dict all;
    for (int64_t i = 0; i < count; ++i) {
        kvlab_tensor_info info;
        must(kvlab_model_tensor_info(model.handle, i, &info));
        all[info.name] = tensor(model, info);
    }
    return all;
}

std::vector<int32_t> encode(const Model& model, const std::string& text) {
    int64_t count = 0;
    std::vector<int32_t> tokens(text.size() + 8);  // no text has more tokens than bytes
    must(kvlab_model_encode(model.handle, text.c_str(), tokens.data(),
                            static_cast<int64_t>(tokens.size()), &count));
    tokens.resize(static_cast<std::size_t>(count));
    return tokens;
}

void bind_config(nb::module_& m) {
    using C = kvlab_config;
    nb::class_<C>(m, "Config", "The numbers that make one decoder out of the family.")
        .def_prop_ro("name", [](const C& c) { return std::string(c.name); })
        .def_prop_ro("architecture",
                     [](const C& c) { return c.architecture == 1 ? "gpt2" : "llama"; })
        .def_ro("vocab", &C::vocab, "V")
        .def_ro("dim", &C::dim, "the width of the residual stream")
        .def_ro("layers", &C::layers, "L")
        .def_ro("heads", &C::heads, "Hq, query heads")
        .def_ro("kv_heads", &C::kv_heads, "Hkv, heads of keys and values")
        .def_ro("head_dim", &C::head_dim, "D, floats of a head")
        .def_ro("ffn", &C::ffn, "the width of the feed-forward layer")
        .def_ro("context", &C::context, "positions: the longest text")
        .def_ro("rope_dim", &C::rope_dim, "the first so many floats of a head are rotated")
        .def_ro("rope_base", &C::rope_base)
        .def_ro("norm_eps", &C::norm_eps)
        .def_prop_ro("tied_output", [](const C& c) { return c.tied_output == 1; });
}

void bind_cache(nb::module_& m) {
    nb::class_<Cache>(m, "Cache",
                      "Keys and values of a text (made by Model.cache). It outlives its model.")
        .def("decode", &decode, nb::arg("tokens").none(), nb::kw_only(),
             nb::arg("last") = false, nb::arg("out") = nb::none(),
             nb::arg("record").none() = nb::none(),
             nb::sig("def decode(self, tokens: " TOKENS ", *, last: bool = False, out: " FLOATS
                     " | None = None, record: Recording | None = None) -> " FLOATS),
             "Feeds T tokens behind those that it holds; a prompt whole, in pieces or one by "
             "one.\n\n"
             "Returns the logits [T, V], or with last=True [V] of the last token, in `out` if "
             "it is\n"
             "given. Adds a step to `record`. Raises NoRoom, with the cache as it was, if they "
             "do\n"
             "not fit, and ValueError for a token outside of the vocabulary.")
        .def(
            "truncate",
            [](const Cache& c, int64_t n) { must(kvlab_cache_truncate(c.handle, n)); },
            nb::arg("length"), "Forgets every token from position `length` on.")
        .def(
            "fork",
            [](const Cache& c) {
                kvlab_cache copy{0};
                must(kvlab_cache_fork(c.handle, &copy));
                return new Cache(copy, c.vocab);
            },
            nb::rv_policy::take_ownership,
            "An independent copy: two continuations of one text.")
        .def("__len__", [](const Cache& c) { return c.info().length; })
        .def_prop_ro("capacity", [](const Cache& c) { return c.info().capacity; })
        .def_prop_ro(
            "bytes", [](const Cache& c) { return c.info().bytes_held; },
            "of the keys and values that it holds")
        .def_prop_ro("bytes_allocated",
                     [](const Cache& c) { return c.info().bytes_allocated; });
}

}  // namespace

Model::Model(const std::string& path) {
    must(kvlab_model_open(path.c_str(), &handle));
    must(kvlab_model_config(handle, &config));
}

void bind_model(nb::module_& m) {
    bind_config(m);
    bind_cache(m);
    nb::class_<Model>(m, "Model", "A GGUF file, ready to run: Model(path).")
        .def(
            "__init__",
            [](Model* self, nb::handle path) {
                const nb::object text = nb::module_::import_("os").attr("fspath")(path);
                new (self) Model(nb::cast<std::string>(text));
            },
            nb::arg("path"),
            nb::sig("def __init__(self, path: str | os.PathLike[str]) -> None"))
        .def_ro("config", &Model::config)
        .def("logits", &logits, nb::arg("tokens").none(), nb::kw_only(),
             nb::arg("out") = nb::none(), nb::arg("record").none() = nb::none(),
             nb::sig("def logits(self, tokens: " TOKENS ", *, out: " FLOATS
                     " | None = None, record: Recording | None = None) -> " FLOATS),
             "The logits [T, V] of a whole text, without a cache. Adds a step to `record`.")
        .def(
            "cache",
            [](const Model& model, int64_t capacity) {
                kvlab_cache cache{0};
                must(kvlab_cache_new(model.handle,
                                     capacity == 0 ? model.config.context : capacity, &cache));
                return new Cache(cache, model.config.vocab);
            },
            nb::arg("capacity") = 0, nb::rv_policy::take_ownership,
            "An empty cache with room for so many tokens; 0: for the model's context.")
        .def("encode", &encode, nb::arg("text"),
             "The tokens of a text, with the mark of the beginning where the model wants one.")
        .def(
            "tensors", &tensors, nb::sig("def tensors(self) -> dict[str, " FLOATS "]"),
            "The weights by the names of the file, as float32; a matrix is [outputs, inputs].");
    m.def("attention", &attention, nb::arg("q").none(), nb::arg("k").none(),
          nb::arg("v").none(), nb::kw_only(), nb::arg("out") = nb::none(),
          nb::sig("def attention(q: " FLOATS ", k: " FLOATS ", v: " FLOATS ", *, out: " FLOATS
                  " | None = None) -> " FLOATS),
          "Causal attention by the plain loop: q [T, Hq, D], k and v [S, Hkv, D] -> [T, Hq, "
          "D].\n\n"
          "Query t is that of token S - T + t and sees the tokens up to its own. The weights "
          "are\n"
          "softmax(q . k / sqrt(D)): q comes unscaled, q and k after RoPE if there is any. "
          "Query\n"
          "head h reads KV head h // (Hq // Hkv).");
    m.def("checksum", &checksum, nb::arg("array").none(),
          nb::sig("def checksum(array: " FLOATS ") -> str"),
          "FNV-1a of the floats' bits in order (chapter 1, rule 8), as 16 hexadecimal digits.");
}

}  // namespace kvlab::python
