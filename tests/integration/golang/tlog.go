// Reads a log as Go's checksum database does: with golang.org/x/mod/sumdb/note and tlog, which know nothing of audit.
//
// `tlog check` takes a log's files as JSON on stdin and ends with 1 at the first that does not hold. `tlog make` makes a
// log of so many records, and writes what it would serve.
package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type inclusion struct {
	Index, Size int64
	Hashes      [][]byte
}

type consistency struct {
	From, To int64
	Hashes   [][]byte
}

type served struct {
	Key           string
	Checkpoints   []string
	Tiles         map[string][]byte
	Bundles       map[string][]byte
	Inclusions    []inclusion
	Consistencies []consistency
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func mustHold(holds bool, format string, args ...any) {
	if !holds {
		must(fmt.Errorf(format, args...))
	}
}

// path is where a tile is served: as tlog has it, less the height, which C2SP leaves out.
func path(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
}

type files struct{ tiles map[string][]byte }

func (files) Height() int { return height }

func (f files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		data, ok := f.tiles[path(tile)]
		if !ok {
			return nil, fmt.Errorf("%s is not served", path(tile))
		}
		found = append(found, data)
	}
	return found, nil
}

func (files) SaveTiles([]tlog.Tile, [][]byte) {}

func hash(raw []byte) (found tlog.Hash) {
	mustHold(len(raw) == tlog.HashSize, "a hash has %d bytes", len(raw))
	copy(found[:], raw)
	return found
}

func hashes(raws [][]byte) (found []tlog.Hash) {
	for _, raw := range raws {
		found = append(found, hash(raw))
	}
	return found
}

func open(text string, verifier note.Verifier) tlog.Tree {
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	mustHold(lines[0] == verifier.Name(), "origin is %q", lines[0])
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	must(err)
	return tlog.Tree{N: size, Hash: hash(root)}
}

func check(log served) {
	verifier, err := note.NewVerifier(log.Key)
	must(err)
	trees := map[int64]tlog.Tree{}
	newest := tlog.Tree{}
	for _, text := range log.Checkpoints {
		tree := open(text, verifier)
		trees[tree.N] = tree
		if tree.N > newest.N {
			newest = tree
		}
	}
	// It checks every tile that it reads against the root.
	reader := tlog.TileHashReader(newest, files{log.Tiles})
	for number := int64(0); number < newest.N; number++ {
		found, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, number)})
		must(err)
		tile := tlog.TileForIndex(height, tlog.StoredHashIndex(0, number))
		tile.W = int(newest.N - tile.N<<height)
		if tile.W > 1<<height {
			tile.W = 1 << height
		}
		tile.L = -1
		name := strings.Replace(path(tile), "tile/data/", "tile/entries/", 1)
		bundle := log.Bundles[name]
		for skip := number & 255; skip > 0; skip-- {
			bundle = bundle[2+binary.BigEndian.Uint16(bundle):]
		}
		entry := bundle[2 : 2+binary.BigEndian.Uint16(bundle)]
		mustHold(tlog.RecordHash(entry) == found[0], "entry %d is not the leaf", number)
	}
	for _, one := range log.Inclusions {
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, one.Index)})
		must(err)
		must(tlog.CheckRecord(hashes(one.Hashes), one.Size, trees[one.Size].Hash, one.Index, leaf[0]))
	}
	for _, one := range log.Consistencies {
		must(tlog.CheckTree(hashes(one.Hashes), one.To, trees[one.To].Hash, one.From, trees[one.From].Hash))
	}
	fmt.Printf("%d tiles, %d entries, %d checkpoints, %d inclusions, %d consistencies\n",
		len(log.Tiles), newest.N, len(log.Checkpoints), len(log.Inclusions), len(log.Consistencies))
}

func make_(name string, count int64) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (found []tlog.Hash, err error) {
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	private, public, err := note.GenerateKey(rand.Reader, name)
	must(err)
	signer, err := note.NewSigner(private)
	must(err)
	log := served{Key: public, Tiles: map[string][]byte{}}
	plain := func(found []tlog.Hash) (raws [][]byte) {
		raws = [][]byte{}
		for _, one := range found {
			one := one
			raws = append(raws, one[:])
		}
		return raws
	}
	for number := int64(0); number < count; number++ {
		added, err := tlog.StoredHashes(number, []byte(strconv.FormatInt(number, 10)), reader)
		must(err)
		stored = append(stored, added...)
	}
	for size := int64(1); size <= count; size += 1 + size/3 {
		root, err := tlog.TreeHash(size, reader)
		must(err)
		body := fmt.Sprintf("%s\n%d\n%s\n", name, size, base64.StdEncoding.EncodeToString(root[:]))
		signed, err := note.Sign(&note.Note{Text: body}, signer)
		must(err)
		log.Checkpoints = append(log.Checkpoints, string(signed))
		for index := int64(0); index < size; index += 1 + size/5 {
			proof, err := tlog.ProveRecord(size, index, reader)
			must(err)
			log.Inclusions = append(log.Inclusions, inclusion{index, size, plain(proof)})
			tree, err := tlog.ProveTree(size, index+1, reader)
			must(err)
			log.Consistencies = append(log.Consistencies, consistency{index + 1, size, plain(tree)})
		}
	}
	for _, tile := range tlog.NewTiles(height, 0, count) {
		data, err := tlog.ReadTileData(tile, reader)
		must(err)
		log.Tiles[path(tile)] = data
	}
	must(json.NewEncoder(os.Stdout).Encode(log))
}

func main() {
	if os.Args[1] == "make" {
		count, err := strconv.ParseInt(os.Args[3], 10, 64)
		must(err)
		make_(os.Args[2], count)
		return
	}
	var log served
	must(json.NewDecoder(os.Stdin).Decode(&log))
	check(log)
}
