//go:build tools

// Package fluxcli pins the flux command line tool. It is a module of its own because the tool is
// built from a vendor folder: its published source lacks the manifests that it embeds.
package fluxcli

import _ "github.com/fluxcd/flux2/v2/cmd/flux"
