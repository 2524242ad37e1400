#include <kvlab/weights/convert.hpp>

#include <algorithm>

#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/gguf_writer.hpp>
#include <kvlab/weights/quantize.hpp>

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
void recode(const std::string& file,
            const TensorInfo& info,
            TensorType type,
            const GgufWriter::Put& put) {
    constexpr Index chunk = 1 << 16;  // a multiple of every block
    std::vector<float> values;
    std::vector<std::byte> out;
    for (Index begin = 0; begin < info.shape.size(); begin += chunk) {
        const Index count = std::min(chunk, info.shape.size() - begin);
        values.resize(usize(count));
        out.resize(usize(bytes_for(type, count)));
        dequantize(info.type,
                   info.bytes.subspan(usize(bytes_for(info.type, begin)),
                                      usize(bytes_for(info.type, count))),
                   values);
        try {
            quantize(type, values, out);
        } catch (const Error& error) {
            throw Error(concat(file, ": tensor ", quote(info.name), " from number ", begin,
                               ": ", error.what()));
        }
        put(out);
    }
}

// What a matrix becomes whose row is not a multiple of the wanted type's block.
TensorType next_best(const TensorInfo& info) {
    const Index row = info.shape[info.shape.rank() - 1];
    const bool fits = row % block_elements(TensorType::q8_0) == 0;
    return fits && !is_quantized(info.type) ? TensorType::q8_0 : info.type;
}

// The type with the most numbers; of equal ones, and of none, the wanted one.
TensorType main_type(const std::map<TensorType, Index>& numbers, TensorType wanted) {
    TensorType most = wanted;
    const auto numbers_of_most = [&] {
        const auto found = numbers.find(most);
        return found == numbers.end() ? Index{0} : found->second;
    };
    for (const auto& [type, count] : numbers)
        if (count > numbers_of_most()) most = type;
    return most;
}

// Adds a tensor that is made from `info` when the file is written.
void add_recoded(GgufWriter& writer,
                 const GgufFile& in,
                 const TensorInfo& info,
                 TensorType type) {
    writer.add(info.name, type, info.shape, [&in, &info, type](const auto& put) {
        if (info.type == type)
            put(info.bytes);
        else
            recode(in.name(), info, type, put);
        in.release(info);  // throws if these were not the file's numbers
    });
}

}  // namespace

ConvertReport convert(const GgufFile& in, const std::filesystem::path& path, TensorType type) {
    ConvertReport report;
    GgufWriter writer;
    std::map<TensorType, Index> numbers;  // in matrices
    for (const Metadata::Entry& entry : in.metadata().entries())
        writer.metadata().set(entry.key, entry.value);
    for (const TensorInfo& info : in.tensors()) {
        TensorType target = type;
        if (info.shape.rank() == 1) {
            target = TensorType::f32;
            ++report.vectors;
        } else if (info.shape[info.shape.rank() - 1] % block_elements(type) != 0) {
            target = next_best(info);
            report.misfits.push_back({info.name, target});
        } else {
            ++report.converted;
        }
        const Index bytes = bytes_for(target, info.shape.size());
        report.bytes_in += std::ssize(info.bytes);
        report.bytes_out += bytes;
        ++report.by_type[target].tensors;
        report.by_type[target].bytes += bytes;
        if (info.shape.rank() > 1) numbers[target] += info.shape.size();
        add_recoded(writer, in, info, target);
    }
    writer.metadata().set("general.file_type", file_type(main_type(numbers, type)));
    if (std::any_of(report.by_type.begin(), report.by_type.end(),
                    [](const auto& share) { return is_quantized(share.first); }))
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
    for (const ConvertReport::Misfit& misfit : report.misfits) {
        const TensorInfo& info = in.tensor(misfit.name);
        text += concat(info.type == misfit.type ? "kept as " : "made ", type_name(misfit.type),
                       ": ", printable(misfit.name), " ", info.shape,
                       " (its row is not a multiple of ", block_elements(type), ")\n");
    }
    text +=
        concat(out, ": ", report.converted, " matrices as ", type_name(type), ", ",
               report.misfits.size(), " that cannot be, ", report.vectors, " vectors as F32\n");
    for (const auto& [of, share] : report.by_type)
        text += concat("  ", type_name(of), ": ", share.tensors, " tensors, ", share.bytes,
                       " bytes\n");
    return text + concat("RESULT converted=", report.converted, " kept=", report.misfits.size(),
                         " vectors=", report.vectors, " bytes_in=", report.bytes_in,
                         " bytes_out=", report.bytes_out, "\n");
}

}  // namespace kvlab
