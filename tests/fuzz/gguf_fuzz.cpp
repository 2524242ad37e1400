// gguf_fuzz.cpp - any bytes at all go to the GGUF reader. It either throws Error with a message
// of one line, or gives a file whose every weight can be read, and that the writer
// can write again.
//
//   cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Release \
//         -DKVLAB_FUZZ=ON
//   cmake --build build/fuzz --target gguf_fuzz gguf_fuzz_seeds
//   build/fuzz/bin/gguf_fuzz_seeds build/fuzz/corpus/gguf_fuzz
//   build/fuzz/bin/gguf_fuzz -max_total_time=180 -rss_limit_mb=512 build/fuzz/corpus/gguf_fuzz
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/gguf_writer.hpp>

namespace {

using namespace kvlab;

void require(bool ok) {
    if (!ok) std::abort();
}

// What a reader of the file would do, on a valid one.
void use(const GgufFile& file) {
    GgufWriter writer;
    for (const Metadata::Entry& entry : file.metadata().entries()) {
        require(describe(entry.value).find('\n') == std::string::npos);
        writer.metadata().set(entry.key, entry.value);
    }
    for (const TensorInfo& info : file.tensors()) {
        require(file.find(info.name) == &info);
        to_f32(info);
        writer.add(info.name, info.type, info.shape, info.bytes);
    }
    const std::vector<std::byte> bytes = writer.to_bytes();
    const GgufFile again = GgufFile::parse(bytes, "again");
    require(again.tensors().size() == file.tensors().size());
    require(again.metadata().entries().size() == file.metadata().entries().size());
    for (std::size_t i = 0; i < file.tensors().size(); ++i) {
        const TensorInfo &a = file.tensors()[i], &b = again.tensors()[i];
        require(a.name == b.name && a.type == b.type && a.shape == b.shape);
        require(std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end()));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        use(GgufFile::parse({reinterpret_cast<const std::byte*>(data), size}, "fuzz"));
    } catch (const Error& error) {
        const std::string message = error.what();
        require(message.starts_with("fuzz: ") && message.find('\n') == std::string::npos);
    }
    return 0;
}
