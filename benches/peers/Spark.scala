// Spark.scala: `Peer WORKLOAD RUNS THREADS ROWS FILE...`, the workloads of benches/ as Spark jobs.
//
// A workload that begins with `df_` is a DataFrame, the others are RDDs. Prints one line as emberline's
// benches do; the numbers of the answer are in the same order.

import java.lang.management.ManagementFactory
import java.nio.file.{Files, Paths}
import org.apache.spark.SparkContext
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.{DataFrame, SparkSession}
import org.apache.spark.sql.functions._
import scala.jdk.CollectionConverters._

/** The rows of benches/support/generate.rs. */
object Generate {
  private final val Golden = 0x9E3779B97F4A7C15L

  @inline final def random(seed: Long, index: Long): Long = {
    var z = seed + (index + 1) * Golden
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL
    z ^ (z >>> 31)
  }

  @inline final def unit(seed: Long, index: Long): Double = (random(seed, index) >>> 11) * (1.0 / 9007199254740992.0)

  @inline final def summand(index: Long): (Int, Long) =
    (((random(2, index) >>> 1) % 1000000L).toInt, random(3, index) >>> 44)

  def fnv(word: String): Long = {
    var hash = 0xcbf29ce484222325L
    for (byte <- word.getBytes("UTF-8")) hash = (hash ^ (byte & 0xff)) * 0x100000001b3L
    hash
  }

  final val Dimensions = 10
  final val Centres = 10

  def point(index: Long): Array[Double] = {
    val place = (random(6, index * 16 + 15) >>> 1) % Centres
    Array.tabulate(Dimensions)(axis => unit(66, place * 16 + axis) * 100.0 + (unit(6, index * 16 + axis) - 0.5) * 20.0)
  }

  def edge(index: Long): (Int, Int) = {
    var from = 0
    var to = 0
    var level = 0
    while (level < 18) {
      val chance = (random(7, index * 32 + level) >>> 48).toInt
      val both = chance >= 62259
      from = from << 1 | (if (both || chance >= 49807) 1 else 0)
      to = to << 1 | (if (both || (chance >= 37355 && chance < 49807)) 1 else 0)
      level += 1
    }
    (from, to)
  }
}

object Peer {
  import Generate._

  /** Eight, as in most of Spark's own measurements on a few cores. */
  private val Partitions = 8
  private type Answer = Seq[Any]

  def main(args: Array[String]): Unit = {
    val Array(workload, runs, threads, rows) = args.take(4)
    val files = args.drop(4)
    val session = SparkSession.builder.master(s"local[$threads]").config("spark.ui.enabled", "false")
      .config("spark.sql.ansi.enabled", "false").config("spark.sql.shuffle.partitions", Partitions.toString).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    val job = () =>
      if (workload.startsWith("df_")) dataFrame(session, workload.drop(3), rows.toLong, files)
      else rdd(session.sparkContext, workload, rows.toLong, files)
    val answer = job()
    val times = (1 to runs.toInt).map { _ =>
      session.sparkContext.getPersistentRDDs.values.foreach(_.unpersist(blocking = true))
      System.gc()
      val (before, start) = (cpu(), System.nanoTime)
      require(job().head == answer.head, "the answer changed between two runs")
      ((System.nanoTime - start) / 1e9, cpu() - before)
    }
    val Seq(wall, used) = Seq(times.map(_._1), times.map(_._2)).map(median)
    println(f"PEER s=$wall%.4f cpu_s=$used%.3f rss_mb=$peakRss answer=${answer.mkString(",")}")
    session.stop()
  }

  private def median(values: Seq[Double]): Double = {
    val sorted = values.sorted
    (sorted(sorted.size / 2) + sorted((sorted.size - 1) / 2)) / 2
  }

  private def cpu(): Double = ManagementFactory.getOperatingSystemMXBean
    .asInstanceOf[com.sun.management.OperatingSystemMXBean].getProcessCpuTime / 1e9

  private def peakRss: Long = Files.readAllLines(Paths.get("/proc/self/status")).asScala
    .find(_.startsWith("VmHWM")).map(_.split("\\s+")(1).toLong / 1024).getOrElse(0L)

  private def rdd(sc: SparkContext, workload: String, rows: Long, files: Array[String]): Answer = {
    def numbers = sc.range(0, rows, 1, Partitions)
    workload match {
      case "narrow_chain" =>
        val kept = numbers.map(_ * 6364136223846793005L + 1442695040888963407L).filter(y => ((y >>> 33) & 3) != 0)
        Seq(kept.map(y => (y >>> 40) & 0xffff).fold(0L)(_ + _))
      case "word_count" =>
        val words = sc.textFile(files(0), Partitions).flatMap(_.split(' ')).filter(_.nonEmpty)
        val counts = words.map((_, 1L)).reduceByKey(_ + _, Partitions)
        sums(counts.map { case (word, count) => (1L, count, fnv(word) * count) })
      case "aggregate" =>
        val totals = numbers.map(n => summand(n)).reduceByKey(_ + _, Partitions)
        sums(totals.map { case (key, sum) => (1L, sum, key * sum) })
      case "distinct" =>
        sums(numbers.map(n => summand(n)._1).distinct(Partitions).map(key => (1L, key.toLong, 0L))).take(2)
      case "group" =>
        val groups = numbers.map(n => summand(n)).groupByKey(Partitions)
        sums(groups.map { case (key, group) => (1L, key * group.max, 0L) }).take(2)
      case "join" =>
        def side(seed: Long) = numbers.map(n => ((random(seed, n) >>> 1) % 10000000L, n))
        sums(side(4).join(side(5), Partitions).map { case (_, (x, y)) => (1L, x + 3 * y, 0L) }).take(2)
      case "sort" => sort(numbers.map(n => (random(1, n) >>> 1, n)).sortByKey(numPartitions = Partitions))
      case "page_rank" => pageRank(numbers.map(n => edge(n)))
      case "k_means" => kMeans(numbers.map(n => point(n)).cache())
      case "flights" => flights(sc, files)
    }
  }

  private def sums(rows: RDD[(Long, Long, Long)]): Answer = {
    val (a, b, c) = rows.fold((0L, 0L, 0L))((x, y) => (x._1 + y._1, x._2 + y._2, x._3 + y._3))
    Seq(a, b, c)
  }

  private def sort(sorted: RDD[(Long, Long)]): Answer = {
    val runs = sorted.mapPartitions { rows =>
      var (count, first, last, checksum, ordered) = (0L, 0L, Long.MinValue, 0L, true)
      for ((key, index) <- rows) {
        if (count == 0) first = key
        ordered &&= key >= last
        last = key
        count += 1
        checksum += key * (index + 1)
      }
      Iterator((count, first, last, checksum, ordered))
    }.collect().filter(_._1 > 0)
    require(runs.forall(_._5) && runs.zip(runs.tail).forall { case (a, b) => a._3 <= b._2 }, "not sorted")
    Seq(runs.map(_._1).sum, runs.head._2, runs.last._3, runs.map(_._4).sum)
  }

  /** Spark's own example: a page to which no rank flows drops out. */
  private def pageRank(edges: RDD[(Int, Int)]): Answer = {
    val links = edges.distinct(Partitions).groupByKey(Partitions).cache()
    var ranks = links.mapValues(_ => 1.0)
    for (_ <- 1 to 10) {
      val shares = links.join(ranks).values.flatMap { case (to, rank) =>
        val share = rank / to.size
        to.map((_, share))
      }
      ranks = shares.reduceByKey(_ + _, Partitions).mapValues(0.15 + 0.85 * _)
    }
    ranks.cache()
    val (count, sum) = ranks.map { case (_, rank) => (1L, rank) }.fold((0L, 0.0))((a, b) => (a._1 + b._1, a._2 + b._2))
    Seq(count, sum) ++ ranks.top(3)(Ordering.by(_._2)).flatMap { case (page, rank) => Seq(page, rank) }
  }

  /** The rounds alone are compared, but making the points takes a tenth of them and is in the time. */
  private def kMeans(points: RDD[Array[Double]]): Answer = {
    val centres = Array.tabulate(Centres)(n => point(n.toLong))
    val counts = new Array[Long](Centres)
    for (_ <- 1 to 10) {
      val now = centres.map(_.clone)
      val near = points.map(p => (nearest(p, now), p)).aggregateByKey((new Array[Double](Dimensions), 0L), Partitions)(
        { case ((sum, count), p) => add(sum, p); (sum, count + 1) },
        { case ((sum, count), (other, more)) => add(sum, other); (sum, count + more) })
      for ((centre, (sum, count)) <- near.collect()) {
        centres(centre) = sum.map(_ / count)
        counts(centre) = count
      }
    }
    counts.toSeq :+ centres.map(_.sum).sum
  }

  private def add(sum: Array[Double], more: Array[Double]): Unit = {
    var axis = 0
    while (axis < Dimensions) { sum(axis) += more(axis); axis += 1 }
  }

  private def nearest(point: Array[Double], centres: Array[Array[Double]]): Int = {
    var (best, least, at) = (0, Double.PositiveInfinity, 0)
    while (at < centres.length) {
      var (distance, axis) = (0.0, 0)
      while (axis < Dimensions) { val x = point(axis) - centres(at)(axis); distance += x * x; axis += 1 }
      if (distance < least) { least = distance; best = at }
      at += 1
    }
    best
  }

  private def flights(sc: SparkContext, files: Array[String]): Answer = {
    val Array(flights, planes, weather) = files.map(sc.textFile(_, Partitions).map(_.split(',')))
    def hour(airport: String, time: String*) = (airport, time.map(_.toInt))
    val late = flights.filter(row => row(8) != "NA" && row(0) != "year")
      .map(row => (row(11), (hour(row(12), row(0), row(1), row(2), row(16)), row(8).toLong)))
    val makers = planes.map(row => (row(0), row(3)))
    val winds = weather.filter(row => row(9) != "NA" && row(0) != "origin")
      .map(row => (hour(row(0), row(1), row(2), row(3), row(4)), row(9).toDouble))
    val byHour = late.join(makers, Partitions).map { case (_, ((hour, late), maker)) => (hour, (maker, late)) }
    val sums = byHour.join(winds, Partitions).map { case (_, ((maker, late), wind)) =>
      (maker, (1L, late, if (wind >= 15.0) 1L else 0L))
    }.reduceByKey((a, b) => (a._1 + b._1, a._2 + b._2, a._3 + b._3), Partitions)
    sums.collect().sortBy(_._1).toSeq.flatMap { case (_, (count, late, windy)) => Seq(count, late, windy) }
  }

  private def dataFrame(session: SparkSession, workload: String, rows: Long, files: Array[String]): Answer = {
    def pairs(file: String) = session.read.parquet(file)
    def only(frame: DataFrame): Answer = frame.head().toSeq
    workload match {
      case "narrow_chain" =>
        val kept = session.range(0, rows, 1, Partitions).selectExpr("id * 6364136223846793005L + 1442695040888963407L y")
          .where("(shiftrightunsigned(y, 33) & 3L) <> 0L")
        only(kept.selectExpr("sum(shiftrightunsigned(y, 40) & 65535L)"))
      case "word_count" =>
        val words = session.read.text(files(0)).select(explode(split(col("value"), " ")).as("word")).where("word <> ''")
        only(words.groupBy("word").count().selectExpr("count(*)", "sum(count)"))
      case "aggregate" =>
        val totals = pairs(files(0)).groupBy("k").agg(sum("v").as("s"))
        only(totals.selectExpr("count(*)", "sum(s)", "sum(cast(k as bigint) * s)"))
      case "distinct" =>
        only(pairs(files(0)).select("k").distinct().selectExpr("count(*)", "sum(cast(k as bigint))"))
      case "join" =>
        val (left, right) = (pairs(files(0)).toDF("k", "x"), pairs(files(1)).toDF("k", "y"))
        only(left.join(right, "k").selectExpr("count(*)", "sum(x + 3 * y)"))
      case "sort" => // written to no output: any other action would not make Spark sort all rows
        pairs(files(0)).orderBy("k").write.format("noop").mode("overwrite").save()
        Seq(rows)
      case "flights" =>
        val Array(flights, planes, weather) =
          files.map(session.read.option("header", "true").option("nullValue", "NA").csv(_))
        val time = Seq("year", "month", "day", "hour").map(name => col(name).cast("int").as(name))
        val late = flights.select(time ++ Seq(col("origin"), col("tailnum"), col("arr_delay").cast("int").as("late")): _*)
        val winds = weather.select(time ++ Seq(col("origin"), col("wind_speed").cast("double").as("wind")): _*)
        val both = late.where("late is not null").join(planes.select("tailnum", "manufacturer"), "tailnum")
          .join(winds.where("wind is not null"), Seq("origin", "year", "month", "day", "hour"))
        val windy = sum(when(col("wind") >= 15.0, 1L).otherwise(0L))
        val makers = both.groupBy("manufacturer").agg(count("*"), sum("late"), windy).collect()
        makers.sortBy(_.getString(0)).toSeq.flatMap(_.toSeq.drop(1))
    }
  }
}
