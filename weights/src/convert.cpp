#include <kvlab/weights/convert.hpp>

#include <algorithm>

#include <kvlab/weights/gguf_writer.hpp>
#include <kvlab/weights/quantize.hpp>
#include <kvlab/weights/text.hpp>

namespace kvlab {

namespace {

// llama.cpp's number for "mostly of this type" (enum llama_ftype).
std::uint32_t file_type(TensorType type) {
    switch (type) {
        case TensorType::f32:
            return 0;
        case TensorType::f16:
            return 1;
        case TensorType::q4_0:
            return 2;
        case TensorType::q4_1:
            return 3;
        case TensorType::q8_0:
            return 7;
        case TensorType::q4_k:
            return 14;  // "Q4_K - Small": nothing above Q4_K
        case TensorType::bf16:
            return 32;
    }
    throw Error("convert: unknown tensor type");
}

// The values of `info` in another type, some thousand numbers at a time.
void recode(const TensorInfo& info, TensorType type, const GgufWriter::Put& put) {
    constexpr Index chunk = 1 << 16;  // a multiple of every block
    std::vector<float> values;
    std::vector<std::byte> out;
    for (Index begin = 0; begin < info.shape.size(); begin += chunk) {
        const Index count = std::min(chunk, info.shape.size() - begin);
        values.resize(static_cast<std::size_t>(count));
        out.resize(static_cast<std::size_t>(bytes_for(type, count)));
        dequantize(info.type,
                   info.bytes.subspan(static_cast<std::size_t>(bytes_for(info.type, begin)),
                                      static_cast<std::size_t>(bytes_for(info.type, count))),
                   values);
        try {
            quantize(type, values, out);
        } catch (const Error& error) {
            throw Error(concat("tensor ", quote(info.name), " from number ", begin, ": ",
                               error.what()));
        }
        put(out);
    }
}

}  // namespace

ConvertReport convert(const GgufFile& in, const std::filesystem::path& path, TensorType type) {
    ConvertReport report;
    GgufWriter writer;
    bool any_quantized = false;
    for (const Metadata::Entry& entry : in.metadata().entries())
        writer.metadata().set(entry.key, entry.value);
    for (const TensorInfo& info : in.tensors()) {
        TensorType target = type;
        if (info.shape.rank() == 1) {
            target = TensorType::f32;
            ++report.vectors;
        } else if (info.shape[info.shape.rank() - 1] % block_elements(type) != 0) {
            target = TensorType::f32;
            report.kept_f32.push_back(info.name);
        } else {
            ++report.converted;
        }
        any_quantized = any_quantized || is_quantized(target);
        report.bytes_in += static_cast<Index>(info.bytes.size());
        report.bytes_out += bytes_for(target, info.shape.size());
        writer.add(info.name, target, info.shape, [&in, &info, target](const auto& put) {
            if (info.type == target) return put(info.bytes);
            try {
                recode(info, target, put);
            } catch (const Error& error) {
                throw Error(in.name() + ": " + error.what());
            }
        });
    }
    writer.metadata().set("general.file_type", file_type(type));
    if (any_quantized)
        writer.metadata().set("general.quantization_version", std::uint32_t{2});
    else
        writer.metadata().erase("general.quantization_version");
    writer.write(path);
    return report;
}

std::string describe_conversion(const GgufFile& in,
                                const std::string& out,
                                TensorType type,
                                const ConvertReport& report) {
    std::string text;
    for (const std::string& name : report.kept_f32)
        text += concat("kept as F32: ", name, " ", in.tensor(name).shape,
                       " (its row is not a multiple of ", block_elements(type), ")\n");
    return text + concat(out, ": ", report.converted, " matrices as ", type_name(type), ", ",
                         report.kept_f32.size(), " kept as F32, ", report.vectors,
                         " vectors as F32\nRESULT converted=", report.converted,
                         " kept=", report.kept_f32.size(), " vectors=", report.vectors,
                         " bytes_in=", report.bytes_in, " bytes_out=", report.bytes_out, "\n");
}

}  // namespace kvlab
