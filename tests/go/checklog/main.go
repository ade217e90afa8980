// Command checklog checks a log that HatchPay wrote, with the packages that Go's module mirror and sum database use.
//
//	checklog VKEY DIRECTORY CHECKPOINT... -- RECEIPT...
//
// DIRECTORY holds the log's tiles; CHECKPOINT are files of checkpoints, the newest last. It prints what it has checked.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type tiles struct{ directory string }

func (t tiles) Height() int { return height }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		// C2SP's paths lack the height, which is always 8.
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(t.directory, path))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "checklog:", err)
		os.Exit(1)
	}
}

func run(vkey, directory string, files []string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	known := note.VerifierList(verifier)
	var trees []tlog.Tree
	var receipts []string
	for at, file := range files {
		if file == "--" {
			receipts = files[at+1:]
			break
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		tree, err := open(data, verifier.Name(), known)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		trees = append(trees, tree)
	}
	newest := trees[len(trees)-1]
	if err := checkEntries(newest, directory); err != nil {
		return err
	}
	for _, older := range trees[:len(trees)-1] {
		proof, err := tlog.ProveTree(newest.N, older.N, reader(newest, directory))
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, newest.N, newest.Hash, older.N, older.Hash); err != nil {
			return err
		}
	}
	for _, file := range receipts {
		if err := checkReceipt(file, verifier.Name(), known); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	fmt.Printf("%d entries, %d checkpoints, %d receipts\n", newest.N, len(trees), len(receipts))
	return nil
}

func reader(tree tlog.Tree, directory string) tlog.HashReader {
	return tlog.TileHashReader(tree, tiles{directory})
}

func open(data []byte, origin string, known note.Verifiers) (tlog.Tree, error) {
	opened, err := note.Open(data, known)
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != origin {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: hash}, err
}

// checkEntries proves every entry of the bundles to be where it is in the tree.
func checkEntries(tree tlog.Tree, directory string) error {
	hashes := reader(tree, directory)
	for index := int64(0); index < tree.N; {
		path := tlog.Tile{H: height, L: -1, N: index / 256, W: int(min64(256, tree.N-index))}.Path()
		data, err := os.ReadFile(filepath.Join(directory, strings.Replace(path, "tile/8/data/", "tile/entries/", 1)))
		if err != nil {
			return err
		}
		for len(data) > 0 {
			length := 2 + int(binary.BigEndian.Uint16(data))
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(data[2:length])); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
			data, index = data[length:], index+1
		}
	}
	return nil
}

func checkReceipt(file, origin string, known note.Verifiers) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, checkpoint, _ := bytes.Cut(data, []byte("\n\n"))
	tree, err := open(checkpoint, origin, known)
	if err != nil {
		return err
	}
	lines := strings.Split(string(head), "\n")
	leaf, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(leaf))
}

func min64(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}
