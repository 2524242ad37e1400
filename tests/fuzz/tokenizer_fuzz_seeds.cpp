// tokenizer_fuzz_seeds.cpp - writes the first files of the corpus: tokenizer_fuzz_seeds
// <folder>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: tokenizer_fuzz_seeds <folder>\n");
        return 2;
    }
    // The first byte: '0' is even, a text; '1' is odd, a vocabulary.
    const std::string seeds[] = {
        "0lower newest  low 12 wes aaaa's KV cache",
        "0<|im_start|>user\n<|im_end|>!<|im_end|><|endoftext|>",
        "0caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80 \xe2\x80\xa8x\xc2\xa0\xd9\xa3",
        "0\xff\xc3 \xc1\x81 \xed\xa0\x80 \xf4\x90\x80\x80 \x04\xf0\x9f\x98",
        "1t3=abc\nm1=l o\ny7=......\nb900=\n",
        "1m2=<|im_end|> !\nm3=\nm4= x\nm5=low er\nt255=\nc={% for %}\n",
    };
    try {
        const std::filesystem::path folder = argv[1];
        std::filesystem::create_directories(folder);
        int number = 0;
        for (const std::string& seed : seeds) {
            std::ofstream out(folder / ("seed" + std::to_string(number++)), std::ios::binary);
            out << seed;
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "tokenizer_fuzz_seeds: %s\n", error.what());
        return 1;
    }
    return 0;
}
