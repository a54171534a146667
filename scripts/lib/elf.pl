#!/usr/bin/perl
#
# elf.pl - reads an ELF executable and says what it is.
#
#   elf.pl FILE             one line of facts, NAME=VALUE, separated by spaces
#   elf.pl --sections FILE  size of each section that is in memory or in the file
#   elf.pl --crates FILE    bytes by Rust crate, from the symbol table of a file that
#                           is not stripped and was built with v0 symbol names
#   elf.pl --functions FILE [ADDRESS]   size and name of each function of such a file, the
#                           largest first; with ADDRESS (0x1a2b4) only the one that is there
#
# Facts: class=32|64  machine=NUMBER (e_machine)  type=EXEC|DYN  interp=yes|no
#   needed=NUMBER (shared libraries)  relro=yes|no  now=yes|no (BIND_NOW)
#   nx=yes|no (stack not executable)  wx=yes|no (a segment writable and executable)
#   textrel=yes|no  arm=NUMBER (Tag_CPU_arch of the ARM attributes, 0 if none)
#   float=hard|soft (ARM's flag; "-" elsewhere)
#
# Little-endian files only: all that Pi-Monitor is built for.
# Exit status: 0 done, 1 not an ELF file that this can read.
use strict;
use warnings;

my $mode = @ARGV && $ARGV[0] =~ /^--(\w+)$/ ? do { shift; $1 } : 'facts';
if ($mode eq 'help' || @ARGV < 1 || @ARGV > 1 + ($mode eq 'functions') || $mode !~ /^(facts|sections|crates|functions)$/) {
    print STDERR "usage: elf.pl [--sections|--crates|--functions] FILE [ADDRESS]\n";
    exit($mode eq 'help' ? 0 : 1);
}
my ($file, $address) = @ARGV;
open(my $in, '<:raw', $file) or fail($!);
my $elf = do { local $/; <$in> };
close $in;

sub fail { print STDERR "elf.pl: $file: $_[0]\n"; exit 1 }

fail('not a little-endian ELF file') unless $elf =~ /^\x7fELF([\x01\x02])\x01/s;
my $wide = ord($1) == 2;

# take(OFFSET, TEMPLATE, LENGTH): fields of the file, checked to be inside it.
sub take {
    my ($offset, $template, $length) = @_;
    fail("ends before offset $offset + $length") if $offset + $length > length $elf;
    return unpack $template, substr($elf, $offset, $length);
}

my ($type, $machine) = take(16, 'v v', 4);
my ($phoff, $shoff, $flags) = $wide ? take(32, 'Q< Q< V', 20) : take(28, 'V V V', 12);
my ($phsize, $phnum, $shsize, $shnum, $shstr) = take($wide ? 54 : 42, 'v5', 10);

# Program headers: [type, flags, offset, virtual address, size in the file].
my @segments;
for my $i (0 .. $phnum - 1) {
    my $at = $phoff + $i * $phsize;
    if ($wide) {
        my ($t, $f, $o, $v, $p, $s) = take($at, 'V V Q< Q< Q< Q<', 40);
        push @segments, [$t, $f, $o, $v, $s];
    } else {
        my ($t, $o, $v, $p, $s, $m, $f) = take($at, 'V7', 28);
        push @segments, [$t, $f, $o, $v, $s];
    }
}
# Section headers: name, type, flags, offset, size, link.
my @sections;
for my $i (0 .. ($shoff ? $shnum : 0) - 1) {
    my $at = $shoff + $i * $shsize;
    my ($n, $t, $f, $a, $o, $s, $l) = $wide ? take($at, 'V V Q< Q< Q< Q< V', 44) : take($at, 'V7', 28);
    push @sections, { name => $n, type => $t, flags => $f, offset => $o, size => $s, link => $l };
}
sub string { my ($o, $start) = @_; return $o + $start < length $elf ? unpack('Z*', substr($elf, $o + $start, 4096)) : '' }
$_->{name} = string($sections[$shstr]{offset}, $_->{name}) for @sections;

{ facts => \&facts, sections => \&sections, crates => \&crates, functions => \&functions }->{$mode}->();

sub facts {
    my ($interp, $relro, $nx, $wx, $needed, $now, $textrel) = (0) x 7;
    for my $s (@segments) {
        my ($t, $f, $o, undef, $size) = @$s;
        $interp = 1 if $t == 3;
        $relro = 1 if $t == 0x6474e552;
        $nx = 1 if $t == 0x6474e551 && !($f & 1);
        $wx = 1 if $t == 1 && ($f & 3) == 3;
        next unless $t == 2;    # the dynamic table
        my $step = $wide ? 16 : 8;
        for (my $at = $o; $at < $o + $size; $at += $step) {
            my ($tag, $value) = take($at, $wide ? 'Q< Q<' : 'V V', $step);
            last unless $tag;
            $needed++ if $tag == 1;
            $now = 1 if $tag == 24 || $tag == 30 && $value & 8 || $tag == 0x6ffffffb && $value & 1;
            $textrel = 1 if $tag == 22 || $tag == 30 && $value & 4;
        }
    }
    my $yes = sub { $_[0] ? 'yes' : 'no' };
    my $float = $machine != 40 ? '-' : $flags & 0x400 ? 'hard' : 'soft';
    print join(' ', 'class=' . ($wide ? 64 : 32), "machine=$machine",
        'type=' . ({ 2 => 'EXEC', 3 => 'DYN' }->{$type} || $type),
        'interp=' . $yes->($interp), "needed=$needed", 'relro=' . $yes->($relro), 'now=' . $yes->($now),
        'nx=' . $yes->($nx), 'wx=' . $yes->($wx), 'textrel=' . $yes->($textrel),
        'arm=' . arm_architecture(), "float=$float"), "\n";
}

# Tag_CPU_arch (6) from the "aeabi" part of section .ARM.attributes: 6 and 7 are
# ARMv6 and v6KZ, 10 is ARMv7.
sub arm_architecture {
    my ($section) = grep { $_->{type} == 0x70000003 && $machine == 40 } @sections or return 0;
    my $data = substr($elf, $section->{offset}, $section->{size});
    return 0 unless $data =~ s/^A//;
    while (length $data > 4) {
        my $length = unpack 'V', $data;
        last if $length < 5 || $length > length $data;
        my $part = substr($data, 4, $length - 4);
        $data = substr($data, $length);
        next unless $part =~ s/^aeabi\0//;
        while (length $part > 5) {
            my ($scope, $size) = unpack 'C V', $part;
            last if $size < 5 || $size > length $part;
            my $tags = substr($part, 5, $size - 5);
            $part = substr($part, $size);
            next unless $scope == 1;    # of the whole file
            while (length $tags) {
                my $tag = uleb(\$tags);
                if ($tag == 4 || $tag == 5 || $tag == 67) { $tags =~ s/^[^\0]*\0//s or last }
                elsif ($tag == 32) { uleb(\$tags); $tags =~ s/^[^\0]*\0//s or last }
                elsif ($tag > 32 && $tag % 2) { $tags =~ s/^[^\0]*\0//s or last }
                else { my $value = uleb(\$tags); return $value if $tag == 6 }
            }
        }
    }
    return 0;
}
sub uleb {
    my ($data) = @_;
    my ($value, $shift) = (0, 0);
    while ($$data =~ s/^(.)//s) {
        $value |= (ord($1) & 127) << $shift;
        last if ord($1) < 128;
        $shift += 7;
    }
    return $value;
}

sub sections {
    printf "%9d  %s%s\n", $_->{size}, $_->{name}, $_->{type} == 8 ? '  (memory only)' : ''
        for sort { $b->{size} <=> $a->{size} } grep { $_->{size} } @sections;
}

# symbols(): [name, type, address, size] of what has a size and is in the file.
sub symbols {
    my ($table) = grep { $_->{type} == 2 } @sections or fail('has no symbol table (stripped)');
    my $names = $sections[$table->{link}];
    my $step = $wide ? 24 : 16;
    my (@symbols, %seen);
    for (my $at = $table->{offset}; $at < $table->{offset} + $table->{size}; $at += $step) {
        my ($name, $info, $section, $value, $size);
        if ($wide) { ($name, $info, undef, $section, $value, $size) = take($at, 'V C C v Q< Q<', 24) }
        else { ($name, $value, $size, $info, undef, $section) = take($at, 'V V V C C v', 16) }
        next unless $size && ($info & 15) <= 2 && $section && $section < @sections;
        next if $sections[$section]{type} == 8 || $seen{"$section $value"}++;    # memory only; another name of the same
        push @symbols, [string($names->{offset}, $name), $info & 15, $value, $size];
    }
    return @symbols;
}

# v0 names ("_R...") spell the crate as C, an optional disambiguator s..._, length, name.
# A generic function counts for the crate that defines it, whoever uses it.
sub crates {
    my %bytes;
    for (symbols()) {
        my ($name, undef, undef, $size) = @$_;
        my $crate = 'C library and start files';
        if ($name =~ /^_R[^C]*?C(?:s[0-9a-zA-Z]*_)?(\d+)_?(.*)/s) { $crate = substr($2, 0, $1) }
        elsif ($name =~ /^(?:_R|\.L|anon\.|switch\.table|str\.|alloc_|vtable)/) { $crate = 'constants without a crate' }
        $bytes{$crate} += $size;
    }
    printf "%9d  %s\n", $bytes{$_}, $_ for sort { $bytes{$b} <=> $bytes{$a} || $a cmp $b } keys %bytes;
}

# An odd address of ARM is that of Thumb code one byte before it.
sub functions {
    my $wanted = defined $address ? hex($address) : undef;
    my $even = $machine == 40 ? ~1 : ~0;
    my @found = grep { $_->[1] == 2 } symbols();
    @found = grep { ($_->[2] & $even) <= $wanted && $wanted < ($_->[2] & $even) + $_->[3] } @found if defined $wanted;
    fail("no function is at $address") unless @found;
    printf "%9d  %s\n", $_->[3], $_->[0] for sort { $b->[3] <=> $a->[3] || $a->[0] cmp $b->[0] } @found;
}
