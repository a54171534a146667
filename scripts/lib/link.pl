#!/usr/bin/perl
#
# link.pl - calls the linker with an order of functions, so that what runs at every tick and scrape lies together.
#
#   link.pl ORDER LINKER WORD...
#
# ORDER is scripts/lib/order.txt, a list of names as link.pl spells them: without what differs between builds. The
# functions of the object files among the words are looked up in it, and LLD gets those that are there, in its order. Code for speed has
# half of the names, since more functions are copied to where they are called. When fewer than a quarter are there, the list was made
# for other code, and the linker is called without it.
#
#   link.pl --names         copies names from standard input to standard output in that spelling
use strict;
use warnings;

# A Rust name (v0) without the hashes of crates, without the distances between its parts, which depend on them, and without the
# number that tells copies of a function apart.
# https://doc.rust-lang.org/rustc/symbol-mangling/v0.html
sub spelling {
    my ($name) = @_;
    $name =~ s/\.(llvm\.)?\d+$//;
    if ($name =~ /^_R/) {
        $name =~ s/Cs[0-9A-Za-z]*_(?=u?\d)/C/g;
        $name =~ s/B[0-9A-Za-z]*_/B_/g;
    }
    return $name;
}

if (@ARGV == 1 && $ARGV[0] eq '--names') {
    while (<STDIN>) { chomp; print spelling($_), "\n" }
    exit;
}
die "usage: link.pl ORDER LINKER WORD...\n" if @ARGV < 3;
my ($order, $linker, @words) = @ARGV;

# names(FILE): the names of functions and data in the symbol table of a little-endian object file.
sub names {
    my ($file) = @_;
    open(my $in, '<:raw', $file) or return;
    my $elf = do { local $/; <$in> };
    return unless $elf =~ /^\x7fELF([\x01\x02])\x01/s;
    my $wide = ord($1) == 2;
    my ($shoff, $shsize, $shnum) = $wide ? unpack('x40 Q< x10 v v', $elf) : unpack('x32 V x10 v v', $elf);
    my @sections = map { [unpack $wide ? 'V2 x16 Q<2 V2' : 'V2 x8 V2 V2', substr($elf, $shoff + $_ * $shsize, $shsize)] } 0 .. $shnum - 1;
    # Of very many sections, the first one has the number.
    if (!$shnum && $shoff) {
        my $many = (unpack $wide ? 'V2 x16 Q<2' : 'V2 x8 V2', substr($elf, $shoff, $shsize))[3];
        @sections = map { [unpack $wide ? 'V2 x16 Q<2 V2' : 'V2 x8 V2 V2', substr($elf, $shoff + $_ * $shsize, $shsize)] } 0 .. $many - 1;
    }
    my @found;
    for my $section (grep { $_->[1] == 2 } @sections) {
        my (undef, undef, $offset, $size, $link) = @$section;
        my ($text, $length) = @{ $sections[$link] }[2, 3];
        my $strings = substr $elf, $text, $length;
        my $each = $wide ? 24 : 16;
        for (my $at = $offset; $at < $offset + $size; $at += $each) {
            my ($name, $info) = $wide ? unpack('V C', substr($elf, $at, 5)) : unpack('V x8 C', substr($elf, $at, 13));
            push @found, unpack('Z*', substr($strings, $name, 4096)) if ($info & 15) == 1 || ($info & 15) == 2;
        }
    }
    return @found;
}

my %present;
push @{ $present{ spelling($_) } }, $_ for map { names($_) } grep { /\.o$/ } @words;
open(my $list, '<', $order) or die "link.pl: $order: $!\n";
my ($wanted, $there, @ordered) = (0, 0);
while (<$list>) {
    chomp;
    next if /^#/ || $_ eq '';
    # The C library's functions are in an archive; their names are always the same.
    if (!/^_R/) { push @ordered, $_; next }
    $wanted++;
    $there++ if $present{$_};
    push @ordered, @{ $present{$_} // [] };
}
my ($output) = grep { $words[$_ - 1] eq '-o' } 1 .. $#words;
if (defined $output && $there * 4 >= $wanted) {
    # Code that the compiler took out of several functions is needed by most of them.
    push @ordered, sort { length $a <=> length $b || $a cmp $b } map { @{ $present{$_} } } grep { /^OUTLINED_FUNCTION_/ } keys %present;
    my $file = "$words[$output].order";
    open(my $out, '>', $file) or die "link.pl: $file: $!\n";
    print $out "$_\n" for @ordered;
    close $out or die "link.pl: $file: $!\n";
    push @words, "--symbol-ordering-file=$file", '--no-warn-symbol-ordering';
}
exec $linker, @words or die "link.pl: $linker: $!\n";
