#pragma once

#include <span>
#include <string>
#include <vector>

#include "policy/yaml/document.h"

namespace sallyport {

struct RenderStyle {
  bool colours = false;
  unsigned width = 100;  ///< Terminal columns that a line of source may take; the rest is cut.
};

/// Findings for people: each with the line it is about, a mark under the place, and its hint. Ends
/// with count_findings(). Sources are found by name; a finding whose text is not among them, or
/// that is about a whole file, goes without. Nothing of a file or of a message reaches the terminal
/// but printable text. Allocates; safe to call from several threads.
///
///     p.yaml:8:19: error[E008]: unknown protocol 'tsl'
///       8 |       protocols: [tsl: {}]
///         |                   ^~~
///         help: did you mean 'tls'?
std::string render(std::span<const Diagnostic> diagnostics, std::span<const SourceFile> sources,
                   const RenderStyle& style = {});

/// "3 errors, 1 warning"; "" for no findings.
std::string count_findings(std::span<const Diagnostic> diagnostics);

}  // namespace sallyport
