// SPDX-License-Identifier: BSD-3-Clause
// A line cut into words, each with its column; numbers and lists in them; the nearest valid name.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "text.h"

namespace cnnkern {

struct Word {
  std::string text;
  size_t column;
};

class Line {
 public:
  explicit Line(const std::string& text) : text_(text) {}

  [[noreturn]] void fail(size_t column, const std::string& message) const;
  std::vector<Word> words() const;
  size_t size() const { return text_.size(); }

  // Parts between separators; an empty part is refused by whoever reads it.
  static std::vector<Word> split(const Word&, char separator);
  int64_t number(const Word&) const;
  std::vector<int64_t> shape(const Word&, const char* what) const;  // 8x64x56x56
  bool truth(const Word&) const;                                    // true, false

 private:
  const std::string& text_;
};

// The name that a word was likely meant to be; empty where none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& names);

// "; did you mean 'stride'? valid: ..." for a word that none of the names is.
std::string suggestion(const std::string& word, const std::vector<std::string>& names);

}  // namespace cnnkern
