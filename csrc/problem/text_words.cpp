// SPDX-License-Identifier: BSD-3-Clause
#include "text_words.h"

#include <algorithm>
#include <charconv>

namespace cnnkern {

namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Bytes that continue a UTF-8 character take no place of their own.
bool takes_place(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

void Line::fail(size_t column, const std::string& message) const {
  std::string shown = text_, caret;
  for (char& c : shown) {
    if (is_space(c) || c == '\0') c = ' ';
  }
  for (size_t i = 0; i < column && i < shown.size(); ++i) {
    if (takes_place(shown[i])) caret += ' ';
  }
  throw TextError(message + "\n  " + shown + "\n  " + caret + "^", column);
}

std::vector<Word> Line::words() const {
  std::vector<Word> words;
  for (size_t i = 0; i < text_.size();) {
    if (is_space(text_[i])) {
      ++i;
      continue;
    }
    const size_t begin = i;
    while (i < text_.size() && !is_space(text_[i])) ++i;
    words.push_back({text_.substr(begin, i - begin), begin});
  }
  return words;
}

std::vector<Word> Line::split(const Word& word, char separator) {
  std::vector<Word> parts;
  for (size_t begin = 0;;) {
    const size_t end = std::min(word.text.find(separator, begin), word.text.size());
    parts.push_back({word.text.substr(begin, end - begin), word.column + begin});
    if (end == word.text.size()) return parts;
    begin = end + 1;
  }
}

int64_t Line::number(const Word& word) const {
  int64_t value = 0;
  const char* end = word.text.data() + word.text.size();
  const auto [stop, status] = std::from_chars(word.text.data(), end, value);
  if (status == std::errc::result_out_of_range) {
    fail(word.column, "expected a whole number below 2^63, got '" + word.text + "'");
  }
  if (status != std::errc() || stop != end) {
    fail(word.column, "expected a whole number, got '" + word.text + "'");
  }
  return value;
}

std::vector<int64_t> Line::shape(const Word& word, const char* what) const {
  std::vector<int64_t> sizes;
  const std::vector<Word> parts = split(word, 'x');
  if (word.text.find('=') != std::string::npos || parts.size() < 2) {
    fail(word.column,
         std::string("expected ") + what + " like 8x64x56x56, got '" + word.text + "'");
  }
  for (const Word& part : parts) {
    const int64_t size = number(part);
    if (size < 0) fail(part.column, "expected a size >= 0, got " + part.text);
    sizes.push_back(size);
  }
  return sizes;
}

bool Line::truth(const Word& word) const {
  if (word.text == "true") return true;
  if (word.text == "false") return false;
  fail(word.column, "expected true or false, got '" + word.text + "'");
}

std::string nearest(const std::string& word, const std::vector<std::string>& names) {
  if (word.size() > 64) return "";
  std::string found;
  // Beyond half of the word, two names have nothing in common.
  size_t least = word.size() / 2 + 1;
  for (const std::string& name : names) {
    const size_t distance = edit_distance(word, name);
    if (distance < least) {
      least = distance;
      found = name;
    }
  }
  return found;
}

std::string suggestion(const std::string& word, const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  const std::string near = nearest(word, names);
  return (near.empty() ? ";" : "; did you mean '" + near + "'?") + std::string(" valid: ") + all;
}

}  // namespace cnnkern
