"""Layer trees and network specs in the formats of other tools, one module per format."""
